//! What a fleet file may say, and what each mistake is told.

use super::*;

const REGION: &str = "[[region]]\nname = \"virginia\"\nplace = \"us-east-1\"\nmax = 20\n";

fn problems(text: &str) -> Vec<String> {
    Fleet::parse(text).map_err(|bad| bad.problems).err().unwrap_or_default()
}

#[test]
fn a_short_file_has_defaults_and_a_long_one_everything() {
    let short = Fleet::parse(&format!("name = \"main\"\n{REGION}")).unwrap();
    let region = FleetRegion {
        name: "virginia".to_owned(),
        place: "us-east-1".to_owned(),
        slots: 100,
        min: 0,
        max: 20,
        warm: 0,
        spot: false,
        cool_down_s: 300,
        registration_s: 300,
        launch_template: None,
    };
    assert_eq!(short, Fleet { name: "main".to_owned(), regions: vec![region.clone()] });
    assert_eq!(short.region("virginia"), Some(&region));
    assert_eq!(short.region("japan"), None);
    let more = "slots = 8\nmin = 1\nwarm = 2\nspot = true\ncool-down-s = 60\nregistration-s = 120\nlaunch-template = \"blitz-engine\"\n";
    let long = Fleet::parse(&format!("name = \"main\"\n{REGION}{more}")).unwrap();
    let all = FleetRegion {
        slots: 8,
        min: 1,
        warm: 2,
        spot: true,
        cool_down_s: 60,
        registration_s: 120,
        launch_template: Some("blitz-engine".to_owned()),
        ..region
    };
    assert_eq!(long.regions, [all]);
}

#[test]
fn each_mistake_names_key_value_limit_and_what_to_do() {
    let with = |line: &str| format!("name = \"main\"\n{REGION}{line}\n");
    let other = |from: &str, to: &str| format!("name = \"main\"\n{REGION}").replace(from, to);
    let long = "a".repeat(33);
    let table: Vec<(String, &[&str])> = vec![
        (
            other("\"main\"", "\"Main\""),
            &["name = \"Main\"", "a-z, 0-9 and -", "up to 32", "choose"],
        ),
        (other("\"main\"", "\"\""), &["name = \"\""]),
        (other("\"main\"", &format!("\"{long}\"")), &["name = \"aaa", "up to 32"]),
        ("name = \"main\"\n".to_owned(), &["there are 0 [[region]]", "1 to 100"]),
        (with(REGION), &["region \"virginia\" is there twice"]),
        (other("\"virginia\"", "\"-v\""), &["region \"-v\": name = \"-v\"", "a letter first"]),
        (other("\"virginia\"", "\"all\""), &["region \"all\"", "several regions"]),
        (other("\"us-east-1\"", "\"\""), &["place = \"\"", "us-east-1", "up to 64"]),
        (other("\"us-east-1\"", "\"us east\""), &["place = \"us east\""]),
        (with("slots = 0"), &["slots = 0", "1 to 1000", "spread"]),
        (with("slots = 1001"), &["slots = 1001", "1 to 1000"]),
        (other("max = 20", "max = 10001"), &["max = 10001", "0 to 10000", "several regions"]),
        (other("max = 20", "max = 0\nmin = 1"), &["min = 1 is above max = 0"]),
        (with("min = 21"), &["min = 21 is above max = 20", "lower one"]),
        (with("warm = 21"), &["warm = 21 is above max = 20"]),
        (with("cool-down-s = 86401"), &["cool-down-s = 86401", "0 to 86400"]),
        (with("registration-s = 0"), &["registration-s = 0", "1 to 7200"]),
        (with("registration-s = 7201"), &["registration-s = 7201"]),
        (with("launch-template = \"a b\""), &["launch-template = \"a b\"", "3 to 128"]),
        (with("launch-template = \"ab\""), &["launch-template = \"ab\""]),
        (with("minimum = 1"), &["unknown field `minimum`", "line 6", "`min`"]),
        (with("min = -1"), &["line 6", "-1", "the keys of those are name, place, max"]),
        ("name = ".to_owned(), &["line 1"]),
        (" ".repeat(FILE_BYTES_MAX + 1), &["262145 bytes", "262144"]),
    ];
    for (text, words) in table {
        let said = problems(&text);
        let [line] = &said[..] else { panic!("not one problem: {said:?}\n{text:.300}") };
        for word in words {
            assert!(line.contains(word), "{word:?} is not in: {line}");
        }
    }
}

#[test]
fn the_keys_that_are_told_are_those_that_are_read() {
    let [said] = &problems(&format!("name = \"main\"\n{REGION}other = 1\n"))[..] else {
        panic!("one problem")
    };
    let read = said.split("expected one of ").nth(1).and_then(|rest| rest.lines().next());
    let mut read: Vec<&str> =
        read.expect(said).split(", ").map(|key| key.trim_matches('`')).collect();
    let mut told = REGION_KEYS;
    read.sort_unstable();
    told.sort_unstable();
    assert_eq!(read, told, "{said}");
    let none = Fleet::parse(&format!("name = \"main\"\n{}", REGION.replace("20", "0"))).unwrap();
    assert_eq!(none.regions[0].max, 0, "a region that is taken down");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = format!("name = \"M\"\n{REGION}min = 21\nslots = 0\n");
    let said = Fleet::parse(&text).unwrap_err();
    assert_eq!(said.problems.len(), 3, "{said}");
    assert_eq!(said.to_string().lines().count(), 3);
}
