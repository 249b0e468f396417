//! A provider whose listings are late, with machines that boot, or do not.

use std::collections::BTreeMap;

use blitz_boot_core::instance::{
    Instance, InstanceId, InstanceState, TAG_FLEET, TAG_KEEP, TAG_LAUNCH, TAG_REGION,
};
use blitz_boot_core::launches::Intent;

use crate::fault::Fate;

/// Seconds for which an ended machine is shown.
const SHOWN_S: u64 = 3_600;

pub(crate) struct Machine {
    /// As the provider has it; what a listing shows may be older.
    pub(crate) instance: Instance,
    /// Tags as listings show them, where they are late.
    shown: BTreeMap<String, String>,
    pub(crate) launched_s: u64,
    /// Seconds that the driver's clock was set forward since, as far as it may believe them.
    pub(crate) skipped_s: u64,
    pub(crate) hidden_count: u32,
    pub(crate) boots_s: Option<u64>,
    pub(crate) powers_off: bool,
    ended_s: u64,
    pub(crate) engine: Option<Engine>,
    /// Not of a launch of ours.
    pub(crate) is_stray: bool,
}

/// A living engine. One that has crashed or gone is none.
pub(crate) struct Engine {
    pub(crate) incarnation: String,
    pub(crate) counter: u64,
    pub(crate) beats: u64,
    /// When it wrote its document last, by true time.
    pub(crate) wrote_s: u64,
    /// Steps that each of its jobs still takes.
    pub(crate) jobs: Vec<u32>,
    /// Steps for which it reaches no store.
    pub(crate) cut: u32,
    /// Steps for which its document stands still.
    pub(crate) mute: u32,
}

#[derive(Default)]
pub(crate) struct Cloud {
    pub(crate) machines: Vec<Machine>,
    launches: BTreeMap<String, Vec<InstanceId>>,
    count: u32,
    fates: usize,
}

pub(crate) const FLEET: &str = "main";
pub(crate) const REGION: &str = "virginia";

impl Machine {
    pub(crate) fn is_alive(&self) -> bool {
        self.instance.state.is_alive()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.instance.tag(TAG_FLEET) == Some(FLEET) && self.instance.tag(TAG_REGION) == Some(REGION)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.instance.tag(TAG_KEEP).is_some()
    }

    pub(crate) fn stop(&mut self) {
        self.instance.state = InstanceState::Stopping;
        self.engine = None;
    }

    pub(crate) fn end(&mut self, now_s: u64) {
        self.instance.state = InstanceState::Gone;
        self.ended_s = now_s;
        self.engine = None;
    }
}

impl Cloud {
    pub(crate) fn id(&mut self) -> InstanceId {
        self.count += 1;
        InstanceId(format!("i-{:08x}", self.count))
    }

    /// Launches, or says what it launched before under this token.
    pub(crate) fn launch(
        &mut self,
        now_s: u64,
        shown_ms: u64,
        intent: &Intent,
        count: u32,
        fates: &[Fate],
    ) -> Vec<InstanceId> {
        if let Some(ids) = self.launches.get(&intent.token) {
            return ids.clone();
        }
        let mut ids = Vec::new();
        for _ in 0..count {
            let fate = fates[self.fates % fates.len()];
            self.fates += 1;
            let tags = [(TAG_FLEET, FLEET), (TAG_REGION, REGION), (TAG_LAUNCH, &intent.token)];
            ids.push(self.add(now_s, shown_ms, fate, &tags, intent.is_spot));
        }
        self.launches.insert(intent.token.clone(), ids.clone());
        ids
    }

    pub(crate) fn add(
        &mut self,
        launched_s: u64,
        shown_ms: u64,
        fate: Fate,
        tags: &[(&str, &str)],
        is_spot: bool,
    ) -> InstanceId {
        let id = self.id();
        let tags: BTreeMap<String, String> =
            tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let instance = Instance {
            id: id.clone(),
            state: InstanceState::Pending,
            launched_ms: shown_ms,
            is_spot,
            tags: tags.clone(),
        };
        self.machines.push(Machine {
            instance,
            shown: tags,
            launched_s,
            skipped_s: 0,
            hidden_count: fate.hidden_count,
            boots_s: fate.boots_s,
            powers_off: fate.powers_off,
            ended_s: 0,
            engine: None,
            is_stray: false,
        });
        id
    }

    pub(crate) fn machine(&mut self, id: &str) -> Option<&mut Machine> {
        self.machines.iter_mut().find(|one| one.instance.id.0 == id)
    }

    /// What passes by itself.
    pub(crate) fn pass(&mut self, now_s: u64) {
        for machine in &mut self.machines {
            match machine.instance.state {
                InstanceState::Pending => machine.instance.state = InstanceState::Running,
                InstanceState::Stopping => machine.end(now_s),
                _ => {}
            }
        }
        self.machines.retain(|one| {
            one.instance.state != InstanceState::Gone || now_s - one.ended_s < SHOWN_S
        });
    }

    pub(crate) fn list(&mut self, tags_are_old: bool) -> Vec<Instance> {
        let mut listed = Vec::new();
        for machine in &mut self.machines {
            if machine.hidden_count > 0 {
                machine.hidden_count -= 1;
                continue;
            }
            if !tags_are_old {
                machine.shown.clone_from(&machine.instance.tags);
            }
            // An operator's word is seen at once: before that nobody can heed it.
            if let Some(keep) = machine.instance.tag(TAG_KEEP) {
                machine.shown.insert(TAG_KEEP.to_owned(), keep.to_owned());
            }
            listed.push(Instance { tags: machine.shown.clone(), ..machine.instance.clone() });
        }
        listed
    }
}
