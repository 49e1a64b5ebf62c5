//! Seven answers about records of a real lineage.

use std::path::Path;

use super::home::Home;

#[test]
fn a_generation_is_told_from_its_root() {
    let home = Home::with_log();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lineages/codeevolve/island1.jsonl");
    home.run(["import", file.to_str().unwrap()]).good();
    let out = home.run(["why", "78"]).good().out;
    for said in [
        "5 lines added, 4 removed",
        "fitness 0.9911787498257759 → 0.9960252834090959",
        "nobody here decided",
        "#12 prompt of iteration 2  alive  fitness 0.9903531301708463 (a claim: no context)",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}
