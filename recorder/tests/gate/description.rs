//! `schemas/gate.openapi.yaml` says what the gate does: the same routes through the same doors, the same structures with the same fields.

use std::collections::BTreeSet;

use saphyr::{LoadableYamlNode as _, Yaml};
use tacho_recorder::gate::route::ROUTES;
use tacho_recorder::gate::wire::STRUCTURES;

const TEXT: &str = include_str!("../../../schemas/gate.openapi.yaml");

fn names(list: Option<&Yaml<'_>>) -> BTreeSet<String> {
    let list = list.and_then(|list| list.as_sequence());
    let names = list.into_iter().flatten();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

fn keys(map: &Yaml<'_>) -> BTreeSet<String> {
    let map = map.as_mapping().unwrap();
    map.keys().map(|k| k.as_str().unwrap().to_owned()).collect()
}

fn reference(schema: &Yaml<'_>) -> String {
    let content = &schema["content"];
    let kinds = keys(content);
    let kind = kinds.first().unwrap();
    assert!(kinds.len() == 1 && ["application/json", "text/event-stream"].contains(&kind.as_str()));
    let text = content[kind.as_str()]["schema"]["$ref"].as_str();
    text.unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let files = Yaml::load_from_str(TEXT).unwrap();
    let paths = &files[0]["paths"];
    let mut described = BTreeSet::new();
    for path in keys(paths) {
        for method in keys(&paths[path.as_str()]) {
            if method != "parameters" {
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let routes: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(described, routes);
    for route in ROUTES {
        let described = &paths[route.path][route.method.to_lowercase().as_str()];
        let doors: BTreeSet<_> = route.doors.iter().map(|d| (*d).to_owned()).collect();
        assert_eq!(
            names(described.as_mapping_get("x-doors")),
            doors,
            "{}",
            route.path
        );
        assert_eq!(reference(&described["responses"]["200"]), route.gives);
        assert_eq!(reference(&described["responses"]["default"]), "Refused");
        let takes = described.as_mapping_get("requestBody").map(reference);
        assert_eq!(takes.as_deref(), route.takes, "{}", route.path);
    }
}

#[test]
fn every_structure_is_described_field_by_field() {
    let files = Yaml::load_from_str(TEXT).unwrap();
    let schemas = &files[0]["components"]["schemas"];
    for (name, fields) in STRUCTURES {
        let schema = &schemas[*name];
        let described = keys(&schema["properties"]);
        let all: BTreeSet<_> = fields
            .iter()
            .map(|(field, _)| (*field).to_owned())
            .collect();
        assert_eq!(described, all, "{name}");
        let required = names(schema.as_mapping_get("required"));
        let must: BTreeSet<_> = fields
            .iter()
            .filter(|(_, must)| *must)
            .map(|(field, _)| (*field).to_owned())
            .collect();
        assert_eq!(required, must, "{name}");
    }
    // And every reference leads somewhere.
    let known = keys(schemas);
    for (at, _) in TEXT.match_indices("#/components/schemas/") {
        let rest = TEXT.get(at + "#/components/schemas/".len()..).unwrap();
        let name = rest.split('\'').next().unwrap();
        assert!(known.contains(name), "{name}");
    }
}
