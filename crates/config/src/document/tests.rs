//! Tests of both syntaxes.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

fn show(node: &Node, indent: usize, out: &mut String) {
    match &node.content {
        Content::Null => out.push_str(" null"),
        Content::Bool(value, written) => write!(out, " {value} ({written})").unwrap(),
        Content::Number(number, written) => write!(out, " {number} ({written})").unwrap(),
        Content::Text(text) => write!(out, " {text:?}").unwrap(),
        Content::List(items) => {
            for item in items {
                write!(out, "\n{:indent$}{}: -", "", item.line).unwrap();
                show(item, indent + 2, out);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                write!(out, "\n{:indent$}{}: {}", "", entry.key_line, entry.key).unwrap();
                show(&entry.value, indent + 2, out);
            }
        }
    }
}

#[track_caller]
fn check(text: &str, format: Format, expected: Expect) {
    let mut out = String::new();
    match parse(text, format, "file") {
        Ok(node) => show(&node, 0, &mut out),
        Err(problems) => out = problems.iter().map(|p| format!("{p}\n")).collect(),
    }
    expected.assert_eq(out.trim_start_matches('\n'));
}

#[test]
fn yaml_values_keep_their_places_and_their_spelling() {
    check(
        "a: 1.10\nb: 022\nc: 1_000\nd: 12345678901234567890123456789012\ne: yes\nf: ~\ng:\nh: 'x'\n\
         i: [1, two]\nj: {k: -5, 7: x}\nl: |\n  many\n  lines\nm: 1e3\nn: .inf\no: 0x10\np: \"12\"\nq: 2026-01-01\nr: y\ns: [No, on, TRUE]\nno: 1\n",
        Format::Yaml,
        expect![[r#"
            1: a 1.1 (1.10)
            2: b "022"
            3: c "1_000"
            4: d 1.2345678901234567e+31 (12345678901234567890123456789012)
            5: e true (yes)
            6: f null
            7: g null
            8: h "x"
            9: i
              9: - 1 (1)
              9: - "two"
            10: j
              10: k -5 (-5)
              10: 7 "x"
            11: l "many\nlines\n"
            14: m 1000.0 (1e3)
            15: n ".inf"
            16: o 16 (0x10)
            17: p "12"
            18: q "2026-01-01"
            19: r "y"
            20: s
              20: - false (No)
              20: - true (on)
              20: - true (TRUE)
            21: no 1 (1)"#]],
    );
}

#[test]
fn a_yaml_key_that_is_there_twice_is_handed_on_twice() {
    check(
        "a: 1\nb: 2\na: 3\n",
        Format::Yaml,
        expect![[r#"
        1: a 1 (1)
        2: b 2 (2)
        3: a 3 (3)"#]],
    );
}

#[test]
fn yaml_anchors_and_merge_keys_work() {
    check(
        "x: &base\n  p: 1\n  q: 2\ny:\n  <<: *base\n  q: 3\nz: *base\n",
        Format::Yaml,
        expect![[r#"
            1: x
              2: p 1 (1)
              3: q 2 (2)
            4: y
              6: q 3 (3)
              5: p 1 (1)
            7: z
              7: p 1 (1)
              7: q 2 (2)"#]],
    );
}

#[test]
fn broken_yaml_is_told_with_its_line_and_without_its_text() {
    check(
        "a: 1\nb: [hunter2\nc: 3\n",
        Format::Yaml,
        expect![[r#"
        file:3: error: is not valid YAML: illegal placement of ':' indicator at line 3, column 2; correct the YAML syntax there
    "#]],
    );
    check(
        "a: 1\n  b: hunter2\n",
        Format::Yaml,
        expect![[r#"
        file:2: error: is not valid YAML: mapping values are not allowed in this context at line 2, column 4; correct the YAML syntax there
    "#]],
    );
    check(
        "a: *nowhere\n",
        Format::Yaml,
        expect![[r#"
        file:1: error: is not valid YAML: alias references unknown anchor at line 1, column 4; correct the YAML syntax there
    "#]],
    );
    check(
        "a: 1\n---\nb: 2\n",
        Format::Yaml,
        expect![[r#"
            file:3: error: holds several YAML documents where one is expected; correct the YAML syntax there
        "#]],
    );
    check(
        "a:\t1\n\tb: 2\n",
        Format::Yaml,
        expect![[r#"
        file:1: error: is not valid YAML: while scanning a plain scalar, found a tab at line 1, column 4; correct the YAML syntax there
    "#]],
    );
}

#[test]
fn a_yaml_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let before = i - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        writeln!(text, "a{i}: &a{i} [{aliases}]").unwrap();
    }
    let problems = parse(&text, Format::Yaml, "bomb").expect_err("a bomb");
    assert_eq!(problems.len(), 1);
    let deep = "[".repeat(100_000);
    assert!(parse(&deep, Format::Yaml, "deep").is_err());
}

#[test]
fn toml_values_keep_their_places_and_their_spelling() {
    check(
        "a = 1.10\nb = 0x1F\nc = 1_000\nd = \"x\"\ne = true\nf = 2026-01-01\ng = [1, \"two\"]\nh = inf\n\
         [i]\nk.l = 5\n[i.\"m5.large\"]\nRAM = \"8 GiB\"\n",
        Format::Toml,
        expect![[r#"
            1: a 1.1 (1.10)
            2: b 31 (0x1F)
            3: c 1000 (1000)
            4: d "x"
            5: e true (true)
            6: f "2026-01-01"
            7: g
              7: - 1 (1)
              7: - "two"
            8: h "inf"
            9: i
              10: k
                10: l 5 (5)
              11: m5.large
                12: RAM "8 GiB""#]],
    );
}

#[test]
fn broken_toml_is_told_with_every_line_and_without_its_text() {
    check(
        "a = 1\na = 2\nb = hunter2\n[c\nd = 1\n",
        Format::Toml,
        expect![[r#"
            file:1: error: a: is there twice, in line 1 and in line 2; keep one of the two
            file:3: error: is not valid TOML: string values must be quoted, expected literal string; correct the TOML syntax there
            file:4: error: is not valid TOML: unclosed table, expected `]`; correct the TOML syntax there
        "#]],
    );
}

#[test]
fn a_toml_key_that_is_there_twice_is_handed_on_twice() {
    for (text, expected) in [
        (
            "a = 1\nb = 2\na = 3\n\"a\" = 4\n",
            expect![[r#"
            1: a 1 (1)
            2: b 2 (2)
            3: a 3 (3)
            4: a 4 (4)"#]],
        ),
        (
            "[x]\nkey = 1\n[y]\n[x]\nkey = 2\nkey = 3\n[x.z]\n",
            expect![[r#"
                1: x
                  2: key 1 (1)
                  7: z
                3: y
                4: x
                  5: key 2 (2)
                  6: key 3 (3)"#]],
        ),
        (
            "[c.d]\ne.f = 1\ne.f = 2\ng = {h = {i = 1, i = 2}}\ntext = \"\"\"\ne = 1\n\"\"\"\n",
            expect![[r#"
                1: c
                  1: d
                    2: e
                      2: f 1 (1)
                      3: f 2 (2)
                    4: g
                      4: h
                        4: i 1 (1)
                        4: i 2 (2)
                    5: text "e = 1\n""#]],
        ),
    ] {
        check(text, Format::Toml, expected);
    }
}
