//! Each kind of lock file, whole and broken.

use proptest::prelude::*;

use super::*;

fn read(file: &str, text: &str) -> (Vec<String>, usize) {
    let lock = parser(file).unwrap().1(text).unwrap();
    let shown = |one: &Locked| format!("{} {}{}", one.name, one.version, if one.development { " dev" } else { "" });
    let mut packages: Vec<String> = lock.packages.iter().map(shown).collect();
    packages.sort();
    (packages, lock.unpinned)
}

#[test]
fn the_project_itself_is_no_dependency_of_cargo() {
    let text = "version = 4\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"serde\"]\n\n[[package]]\n\
                name = \"serde\"\nversion = \"1.0.200\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(read("Cargo.lock", text), (vec!["serde 1.0.200".to_owned()], 0));
}

/// What every package of a file is and where it comes from.
fn addresses(file: &str, text: &str) -> Vec<Option<String>> {
    let (ecosystem, parse) = parser(file).unwrap();
    parse(text).unwrap().packages.iter().map(|package| address(ecosystem, package)).collect()
}

#[test]
fn what_is_not_from_the_registry_is_not_named_as_if_it_were() {
    let cargo = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                 source = \"git+https://user:word@git.example/a.git?branch=main#0123abc\"\n\
                 [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"sparse+https://crates.example/index/\"\n\
                 [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"sparse+https://index.crates.io/\"\n\
                 [[package]]\nname = \"path\"\nversion = \"1.0.0\"\n";
    let told: Vec<String> = addresses("Cargo.lock", cargo).into_iter().flatten().collect();
    assert_eq!(
        told,
        [
            "pkg:cargo/a@1.0.0?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fa.git%400123abc",
            "pkg:cargo/b@1.0.0?repository_url=https:%2F%2Fcrates.example%2Findex%2F",
            "pkg:cargo/c@1.0.0",
        ]
    );
    let npm = r#"{"packages": {
        "node_modules/a": {"version": "1.0.0", "resolved": "git+ssh://git@github.com/x/a.git#abc"},
        "node_modules/b": {"version": "1.0.0", "resolved": "file:../b.tgz"},
        "node_modules/c": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/c/-/c-1.0.0.tgz"},
        "node_modules/d": {"version": "1.0.0", "resolved": "https://example.com/d.tgz"}}}"#;
    assert_eq!(
        addresses("package-lock.json", npm),
        [
            Some("pkg:npm/a@1.0.0?vcs_url=git%2Bssh:%2F%2Fgit%40github.com%2Fx%2Fa.git%40abc".to_owned()),
            None,
            Some("pkg:npm/c@1.0.0".to_owned()),
            Some("pkg:npm/d@1.0.0?download_url=https:%2F%2Fexample.com%2Fd.tgz".to_owned()),
        ]
    );
    let old = r#"{"dependencies": {"a": {"version": "github:x/a#abc"}, "b": {"version": "file:b"}}}"#;
    assert_eq!(
        addresses("package-lock.json", old),
        [Some("pkg:npm/a@abc?vcs_url=git%2Bhttps:%2F%2Fgithub.com%2Fx%2Fa%40abc".to_owned()), None]
    );
    let python = "[[package]]\nname = \"p\"\nversion = \"2\"\n[package.source]\ntype = \"git\"\nurl = \"https://git.example/p\"\n\
                  resolved_reference = \"abc\"\n[[package]]\nname = \"u\"\nversion = \"3\"\n\
                  source = { git = \"https://git.example/u?rev=1#def\" }\n";
    let told: Vec<String> = addresses("uv.lock", python).into_iter().flatten().collect();
    assert_eq!(
        told,
        [
            "pkg:pypi/p@2?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fp%40abc",
            "pkg:pypi/u@3?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fu%40def",
        ]
    );
}

#[test]
fn npm_has_three_versions_of_its_file() {
    let third = r#"{"lockfileVersion": 3, "packages": {
        "": {"name": "app", "version": "1.0.0"},
        "packages/part": {"version": "1.0.0"},
        "node_modules/part": {"resolved": "packages/part", "link": true},
        "node_modules/@babel/core": {"version": "7.24.0", "dev": true},
        "node_modules/alias": {"name": "real", "version": "2.0.0"},
        "node_modules/a/node_modules/b": {"version": "0.1.0"}}}"#;
    assert_eq!(read("package-lock.json", third).0, ["@babel/core 7.24.0 dev", "b 0.1.0", "real 2.0.0"]);
    let first = r#"{"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0", "requires": {"b": "^2"},
        "dependencies": {"b": {"version": "2.0.0", "dev": true}}}}}"#;
    assert_eq!(read("npm-shrinkwrap.json", first).0, ["a 1.0.0", "b 2.0.0 dev"]);
}

#[test]
fn python_has_four_kinds() {
    let poetry = "[[package]]\nname = \"requests\"\nversion = \"2.31.0\"\n[package.dependencies]\nidna = \">=2\"\n\
                  [[package]]\nname = \"own\"\nversion = \"1\"\n[package.source]\ntype = \"directory\"\nurl = \"..\"\n\
                  [metadata]\nlock-version = \"2.0\"\n";
    assert_eq!(read("poetry.lock", poetry).0, ["requests 2.31.0"]);
    let uv = "version = 1\n[[package]]\nname = \"app\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n\
              [[package]]\nname = \"idna\"\nversion = \"3.6\"\nsource = { registry = \"https://pypi.org/simple\" }\n";
    assert_eq!(read("uv.lock", uv).0, ["idna 3.6"]);
    let pipfile = r#"{"_meta": {}, "default": {"flask": {"version": "==3.0.2", "hashes": []}, "own": {"path": "."}},
        "develop": {"pytest": {"version": "==8.0.0"}}}"#;
    assert_eq!(read("Pipfile.lock", pipfile), (vec!["flask 3.0.2".to_owned(), "pytest 8.0.0 dev".to_owned()], 1));
    let text = "# comment\n-r other.txt\n--index-url https://example.com\nDjango[argon2] == 5.0.3 ; python_version >= '3.10'\n\
                numpy==1.26.4 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\nrequests>=2\nfree\nwild==1.*\n\
                tool @ https://example.com/x==1.zip\nlocal===1.0+x  # why\n";
    let (packages, unpinned) = read("dev-requirements.txt", text);
    assert_eq!((packages, unpinned), (vec!["Django 5.0.3".into(), "local 1.0+x".into(), "numpy 1.26.4".into()], 4));
}

#[test]
fn go_says_it_in_either_file() {
    let text = "module example.com/app\n\ngo 1.22\n\nrequire github.com/One/Two/v2 v2.1.0\nrequire (\n\tgolang.org/x/sys v0.18.0 // indirect\n\
                \texample.com/part v0.0.0\n\texample.com/fork v1.0.0\n)\n\nreplace example.com/part => ../part\n\
                replace (\n\texample.com/fork v1.0.0 => example.com/ours v1.0.1\n)\nexclude example.com/bad v1.0.0\n";
    assert_eq!(
        read("go.mod", text).0,
        ["example.com/ours v1.0.1", "github.com/One/Two/v2 v2.1.0", "golang.org/x/sys v0.18.0"]
    );
    let sum =
        "golang.org/x/sys v0.18.0 h1:abc=\ngolang.org/x/sys v0.18.0/go.mod h1:def=\nonly/mod v1.0.0/go.mod h1:x=\n";
    assert_eq!(read("go.sum", sum).0, ["golang.org/x/sys v0.18.0"]);
}

#[test]
fn an_address_names_the_place_of_a_package() {
    let of = |ecosystem, name: &str| {
        let version = "1.0".to_owned();
        address(ecosystem, &Locked { name: name.to_owned(), version, development: false, origin: Origin::Registry })
            .unwrap()
    };
    assert_eq!(of(Ecosystem::Npm, "@babel/core"), "pkg:npm/%40babel/core@1.0");
    assert_eq!(of(Ecosystem::Go, "github.com/One/Two/v2"), "pkg:golang/github.com/one/two/v2@1.0");
    assert_eq!(of(Ecosystem::Pypi, "Typing_Extensions"), "pkg:pypi/typing-extensions@1.0");
    assert_eq!(of(Ecosystem::Cargo, "serde_json"), "pkg:cargo/serde_json@1.0");
}

#[test]
fn what_is_no_lock_file_is_none_however_deep() {
    let deep = format!("{}1{}", r#"{"dependencies":{"a":"#.repeat(5000), "}}".repeat(5000));
    let brackets = format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    for file in ["Cargo.lock", "package-lock.json", "poetry.lock", "uv.lock", "Pipfile.lock"] {
        for text in ["<html>", "{", "[[package]]\nname = 1", &deep, &brackets] {
            assert_eq!(parser(file).unwrap().1(text), None, "{file}");
        }
    }
    assert!(parser("Cargo.toml").is_none() && parser("notes.txt").is_none());
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC*|([a-z]{0,5}(==|=>|\\(|\\)| |\n|//|require|replace|;|\\[){0,3}){0,9}") {
        for file in ["Cargo.lock", "package-lock.json", "requirements.txt", "go.mod", "go.sum", "Pipfile.lock"] {
            let _ = parser(file).unwrap().1(&text);
        }
    }
}
