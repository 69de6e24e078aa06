//! Two state directories on one plan: the second is refused by the first one's name, and can take over.

use super::*;

#[test]
fn a_second_state_directory_is_refused_and_can_take_over() {
    let bench = Bench::new(&[("a.txt", "a"), ("b.txt", "b")]);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml", "--state", "one", "--until", "copied"]);
    let first = bench.path("target/routes/files.json.000000000001");
    let route: Value = serde_json::from_str(&fs::read_to_string(&first).unwrap()).unwrap();
    assert_eq!((&route["lead"], &route["epoch"]), (&"here".into(), &0.into()), "no lead has moved");
    let since = route["driver"]["since"].as_str().unwrap();
    fs::remove_file(bench.path("target/data/a.txt")).unwrap();

    let two = |words: &[&'static str]| [&["run", "plan.toml", "--state", "two"][..], words].concat();
    for words in [two(&[]), two(&["--until", "copied"]), vec!["verify", "plan.toml", "--state", "two", "--repair"]] {
        let refused = bench.expect(1, &words);
        for part in
            ["the migration with the state directory", "/one/", since, "drives dataset files", "help: ", "next: "]
        {
            assert!(refused.err.contains(part), "{part} is missing: {}", refused.err);
        }
        assert!(refused.err.contains("--take-over files"), "{}", refused.err);
    }
    assert!(!bench.path("target/data/a.txt").exists(), "nothing was written");
    let preview = bench.expect(1, &["plan", "plan.toml", "--state", "two"]);
    assert!(preview.out.contains("drives dataset files"), "{}", preview.out);
    let wrong = bench.expect(2, &two(&["--take-over", "fils"]));
    assert!(wrong.err.contains("files"), "{}", wrong.err);

    bench.expect(0, &two(&["--take-over", "files", "--until", "copied"]));
    assert!(bench.path("target/data/a.txt").exists());
    bench.expect(0, &two(&["--until", "copied"]));
    let replaced = bench.expect(1, &["run", "plan.toml", "--state", "one"]);
    assert!(replaced.err.contains("/two/"), "{}", replaced.err);

    // What is given up is free for the other one.
    bench.expect(0, &["abort", "plan.toml", "--state", "two"]);
    bench.expect(0, &["run", "plan.toml", "--state", "one", "--approve", "all"]);
    assert_eq!(bench.lead(), "there");
}
