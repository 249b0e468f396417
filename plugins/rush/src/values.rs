//! What a variable is drawn from: `list[a,b]`, `alpha[min,max,count]`, `number[min,max,count]`, `udid`, as in 2011.

use blitz_plugin::Failure;
use blitz_plugin::load::Values;

use crate::nearest::hint;
use crate::text::Text;

/// How many are made when nobody says, as in 2011.
const COUNT: u32 = 1000;
/// Letters of `alpha` without brackets.
const LETTERS: (u32, u32) = (8, 16);
/// Of `number` without brackets.
const NUMBERS: (i64, i64) = (1, 1_000_000);

/// Reads what a variable is drawn from.
///
/// # Errors
///
/// At the first part that does not fit.
pub(crate) fn read(text: &Text) -> Result<Values, Failure> {
    let spec = text.value.as_str();
    let (kind, inside) = match spec.split_once('[') {
        None => (spec, None),
        Some((kind, rest)) => match rest.strip_suffix(']') {
            Some(inside) => (kind, Some(inside)),
            None => return Err(text.fault(spec.len(), "a ] is missing")),
        },
    };
    let begin = kind.len() + 1;
    match (kind, inside) {
        ("" | "list", Some("")) => Err(text.fault(begin, "a list has at least one value")),
        ("" | "list", Some(inside)) => {
            Ok(Values::List(inside.split(',').map(str::to_owned).collect()))
        }
        ("a" | "alpha", None) => {
            let (min, max) = LETTERS;
            Ok(Values::Alpha { min, max, count: COUNT })
        }
        ("a" | "alpha", Some(inside)) => {
            let [min, max, count] = three(
                text,
                begin,
                inside,
                "alpha[8,12,1000]: letters at least, at most, how many",
            )?;
            let (min, max) = (number(text, min)?, number(text, max)?);
            if min.0 == 0 {
                return Err(text.fault(min.1, "a word has at least 1 letter"));
            }
            ordered(text, min, max)?;
            Ok(Values::Alpha { min: min.0, max: max.0, count: counted(text, count)? })
        }
        ("n" | "number", None) => {
            let (min, max) = NUMBERS;
            Ok(Values::Number { min, max, count: COUNT })
        }
        ("n" | "number", Some(inside)) => {
            let [min, max, count] =
                three(text, begin, inside, "number[1,100,1000]: least, greatest, how many")?;
            let (min, max) = (number(text, min)?, number(text, max)?);
            ordered(text, min, max)?;
            Ok(Values::Number { min: min.0, max: max.0, count: counted(text, count)? })
        }
        ("u" | "udid", None) => Ok(Values::Udid),
        ("u" | "udid", Some(_)) => Err(text.fault(kind.len(), "udid has nothing behind it")),
        ("list", None) => Err(text.fault(spec.len(), "a list has its values behind it: list[a,b]")),
        (kind, _) => {
            let hint = hint(kind, ["list", "alpha", "number", "udid"]);
            let wanted = "one of list[a,b], alpha[8,12], number[1,100], udid";
            Err(text.refuse(format!("{wanted}{hint}")))
        }
    }
}

/// A piece of the text and its place.
type Piece<'a> = Option<(&'a str, usize)>;

/// Two or three pieces.
fn three<'a>(
    text: &Text,
    begin: usize,
    inside: &'a str,
    form: &str,
) -> Result<[Piece<'a>; 3], Failure> {
    let mut pieces = [None; 3];
    let mut at = begin;
    for (place, piece) in inside.split(',').enumerate() {
        let Some(free) = pieces.get_mut(place) else {
            return Err(text.fault(at, format!("one number too many; {form}")));
        };
        *free = Some((piece, at));
        at += piece.len() + 1;
    }
    match pieces[1] {
        Some(_) => Ok(pieces),
        None => Err(text.fault(begin + inside.len(), format!("a number is missing; {form}"))),
    }
}

fn number<T: std::str::FromStr>(text: &Text, piece: Piece<'_>) -> Result<(T, usize), Failure> {
    let (shown, at) = piece.unwrap_or_default();
    let begin = at + shown.len() - shown.trim_start().len();
    let shown = shown.trim();
    let digits = shown.strip_prefix('-').unwrap_or(shown);
    if let Some(bad) = digits.find(|c: char| !c.is_ascii_digit()) {
        return Err(text.fault(begin + shown.len() - digits.len() + bad, "whole numbers"));
    }
    let wrong =
        if shown.is_empty() { "a number is missing" } else { "a number that is out of range" };
    shown.parse().map(|number| (number, begin)).map_err(|_| text.fault(begin, wrong))
}

fn ordered<T: PartialOrd>(text: &Text, min: (T, usize), max: (T, usize)) -> Result<(), Failure> {
    match min.0 <= max.0 {
        true => Ok(()),
        false => Err(text.fault(max.1, "the greatest is less than the least")),
    }
}

fn counted(text: &Text, piece: Piece<'_>) -> Result<u32, Failure> {
    match piece {
        None => Ok(COUNT),
        some => match number(text, some)? {
            (0, at) => Err(text.fault(at, "at least one")),
            (count, _) => Ok(count),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(spec: &str) -> String {
        match read(&Text::of_line("--v", spec)) {
            Ok(values) => serde_json::to_string(&values).unwrap(),
            Err(failure) => failure.message.replacen("--v: ", "", 1),
        }
    }

    #[test]
    fn variables_are_those_of_2011() {
        for (spec, wanted) in [
            ("list[a,b]", r#"{"list":["a","b"]}"#),
            ("[a,b]", r#"{"list":["a","b"]}"#),
            ("[a b,,c]", r#"{"list":["a b","","c"]}"#),
            ("[[x]]", r#"{"list":["[x]"]}"#),
            ("alpha", r#"{"alpha":{"min":8,"max":16,"count":1000}}"#),
            ("a[8,12]", r#"{"alpha":{"min":8,"max":12,"count":1000}}"#),
            ("alpha[8,12,100]", r#"{"alpha":{"min":8,"max":12,"count":100}}"#),
            ("n", r#"{"number":{"min":1,"max":1000000,"count":1000}}"#),
            ("number[-5,100]", r#"{"number":{"min":-5,"max":100,"count":1000}}"#),
            ("n[1, 100, 5]", r#"{"number":{"min":1,"max":100,"count":5}}"#),
            ("udid", r#""udid""#),
            ("u", r#""udid""#),
        ] {
            assert_eq!(show(spec), wanted, "{spec}");
        }
    }

    #[test]
    fn mistakes_in_variables_have_a_caret() {
        const FORMS: &str = "one of list[a,b], alpha[8,12], number[1,100], udid";
        for (spec, wanted) in [
            ("", FORMS.to_owned() + "\n  \n  ^"),
            ("beta[1,2]", FORMS.to_owned() + "\n  beta[1,2]\n  ^"),
            ("nubmer[1,2]", FORMS.to_owned() + "; did you mean number?\n  nubmer[1,2]\n  ^"),
            ("list", "a list has its values behind it: list[a,b]\n  list\n      ^".to_owned()),
            ("list[]", "a list has at least one value\n  list[]\n       ^".to_owned()),
            ("list[a", "a ] is missing\n  list[a\n        ^".to_owned()),
            ("udid[1]", "udid has nothing behind it\n  udid[1]\n      ^".to_owned()),
            ("n[1,x]", "whole numbers\n  n[1,x]\n      ^".to_owned()),
            ("n[1,-y]", "whole numbers\n  n[1,-y]\n       ^".to_owned()),
            ("n[9,1]", "the greatest is less than the least\n  n[9,1]\n      ^".to_owned()),
            ("n[1,2,0]", "at least one\n  n[1,2,0]\n        ^".to_owned()),
            ("n[1,]", "a number is missing\n  n[1,]\n      ^".to_owned()),
            ("n[1,99999999999999999999]", "a number that is out of range\n  n[1,99999999999999999999]\n      ^".to_owned()),
            ("a[0,2]", "a word has at least 1 letter\n  a[0,2]\n    ^".to_owned()),
            ("a[-1,2]", "a number that is out of range\n  a[-1,2]\n    ^".to_owned()),
            (
                "a[1]",
                "a number is missing; alpha[8,12,1000]: letters at least, at most, how many\n  a[1]\n     ^".to_owned(),
            ),
            (
                "n[1,2,3,4]",
                "one number too many; number[1,100,1000]: least, greatest, how many\n  n[1,2,3,4]\n          ^".to_owned(),
            ),
        ] {
            assert_eq!(show(spec), wanted, "{spec}");
        }
    }
}
