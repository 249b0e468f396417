//! What a person's screen shows of commands that draw on it: regions side by side, and a table that lives. The bytes go
//! to a real terminal emulator.

use std::num::NonZeroU16;
use std::path::Path;

use blitz_tests::Home;
use blitz_tests::program::Up;
use tokio::process::Command;

/// Of the terminal, in characters.
const ROWS: NonZeroU16 = NonZeroU16::new(30).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).unwrap();

struct Screens {
    home: Home,
    _up: Up,
}

impl Screens {
    async fn start() -> Self {
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
        let up = home.up(&["--region", "virginia", "--region", "japan"]).await;
        Self { home, _up: up }
    }

    /// Runs a command at a terminal: every screen that was seen, one for each write of the program, the last one last.
    async fn seen(&self, args: &[&str]) -> Vec<String> {
        let program = self.home.command(args);
        let program = program.as_std();
        let words = [program.get_program()].into_iter().chain(program.get_args());
        let quoted =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
        let line = format!(
            "stty rows {ROWS} cols {COLUMNS} -echo; exec {}",
            Vec::from_iter(quoted).join(" ")
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(self.home.path())
            .env_clear()
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            // One that stays open: the end of its input would be typed at the terminal.
            .stdin(std::process::Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await
            .expect("script starts");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
        let mut screens = Vec::new();
        for line in output.stdout.split_inclusive(|byte| *byte == b'\n') {
            terminal.process(line);
            screens.push(terminal.screen().contents());
        }
        screens
    }
}

#[tokio::test]
async fn regions_stand_side_by_side() {
    let screens = Screens::start().await;
    let seen = screens.seen(&["traceroute", "-r", "virginia,japan", "-n", "127.0.0.1"]).await;
    let last = seen.last().expect("a screen");
    let mut lines = last.lines().skip_while(|line| !line.starts_with("virginia "));
    let head = lines.next().unwrap_or_default();
    let middle = head.find("japan").unwrap_or_else(|| panic!("no heads on the screen:\n{last}"));
    let rest: Vec<&str> = lines.collect();
    let hops: Vec<&&str> = rest.iter().filter(|line| line.starts_with(" 1  127.0.0.1")).collect();
    assert_eq!(hops.len(), 1, "the hop of both regions in one line:\n{last}");
    assert!(hops[0][middle..].starts_with(" 1  127.0.0.1  "), "{last}");
    assert_eq!(last.matches("traceroute to 127.0.0.1").count(), 2, "each is there once:\n{last}");
}

#[tokio::test]
async fn a_table_lives_and_makes_room_for_the_report() {
    let screens = Screens::start().await;
    let args = ["mtr", "-r", "japan", "-n", "-c", "4", "-i", "0.6", "127.0.0.1"];
    let seen = screens.seen(&args).await;
    let is_table = |screen: &&String| screen.lines().any(|line| line.starts_with("TTL  HOST"));
    let tables: Vec<&String> = seen.iter().filter(is_table).collect();
    assert!(!tables.is_empty(), "a table is drawn: {seen:#?}");
    for table in tables {
        assert_eq!(table.matches("TTL  HOST").count(), 1, "in one place:\n{table}");
    }
    let last = seen.last().expect("a screen");
    assert!(!is_table(&last), "nothing of it stays:\n{last}");
    assert!(last.contains("1.|-- 127.0.0.1"), "the report stays:\n{last}");
}
