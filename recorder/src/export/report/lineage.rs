//! The picture of a lineage: generations from left to right, lines to those that they were made from, the way to the best score thick.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::body::change::Fate;

use super::Page;
use super::card::words;
use super::gather::{Newest, Score};
use super::html::Esc;
use crate::error::Result;

/// The width that the picture should have.
const WIDTH: usize = 940;

/// How far rows are apart.
const DY: usize = 18;

/// A generation in the picture.
struct Node {
    parents: Vec<Seq>,
    fate: Fate,
    branch: String,
    ordinal: Option<u64>,
    column: usize,
    row: usize,
}

impl Page<'_> {
    pub(super) fn lineage(&mut self) -> Result<()> {
        let list = std::mem::replace(&mut self.gathered.generations, Newest::none());
        self.html.put(format_args!(
            "<section id=\"lineage\" aria-labelledby=\"lineage-h\">\n<h2 id=\"lineage-h\">Lineage</h2>\n<p class=\"count\">{}</p>\n",
            match list.of {
                0 => "No states of an agent in what was asked for.".to_owned(),
                of => format!("{} of {of} generations shown.", list.seqs.len()),
            }
        ))?;
        let mut nodes = BTreeMap::new();
        for seq in &list.seqs {
            if let Ok(record) = self.view.record(*seq)?.meaning
                && let Body::Generation(body) = record.body
            {
                nodes.insert(
                    *seq,
                    Node {
                        parents: body.parents.iter().flatten().copied().collect(),
                        fate: body.fate,
                        branch: body
                            .branch
                            .as_ref()
                            .map_or(String::new(), ToString::to_string),
                        ordinal: body.ordinal,
                        column: 0,
                        row: 0,
                    },
                );
            }
        }
        if !nodes.is_empty() {
            let best = best(&self.gathered.scores);
            place(&mut nodes);
            let way = way(&nodes, best.as_ref().map(|(seq, _)| *seq));
            self.picture(&nodes, &way, best.as_ref())?;
            self.table(&nodes)?;
        }
        self.html.raw("</section>\n")
    }

    fn picture(
        &mut self,
        nodes: &BTreeMap<Seq, Node>,
        way: &BTreeSet<Seq>,
        best: Option<&(Seq, String)>,
    ) -> Result<()> {
        let columns = nodes.values().map(|node| node.column).max().unwrap_or(0) + 2;
        let dx = (WIDTH / columns).clamp(34, 110);
        let width = columns * dx;
        let height = (nodes.values().map(|node| node.row).max().unwrap_or(0) + 2) * DY;
        let says = match best {
            Some((seq, score)) => format!(
                "The thick line leads to the highest {score}, of generation #{seq}: a number that its source gave."
            ),
            None => "No scores are recorded.".to_owned(),
        };
        self.html.put(format_args!(
            "<figure><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Picture of the lineage\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"svg-t svg-d\">\n<title id=\"svg-t\">Generations of the agent</title>\n<desc id=\"svg-d\">{} generations, from the first at the left. {} The same is in the table below.</desc>\n",
            nodes.len(), Esc(&says)
        ))?;
        let at = |node: &Node| (node.column * dx + dx / 2, node.row * DY + DY);
        // Lines first, so that dots lie on them; those of the way last.
        for thick in [false, true] {
            for (seq, node) in nodes {
                for (which, parent) in node.parents.iter().enumerate() {
                    let Some(from) = nodes.get(parent) else {
                        continue;
                    };
                    let on_way = which == 0 && way.contains(seq) && way.contains(parent);
                    if on_way == thick {
                        let ((x1, y1), (x2, y2)) = (at(from), at(node));
                        let middle = usize::midpoint(x1, x2);
                        let class = if thick { "way" } else { "edge" };
                        self.html.put(format_args!("<path class=\"{class}\" d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>\n"))?;
                    }
                }
            }
        }
        for (seq, node) in nodes {
            let (x, y) = at(node);
            let score = self
                .gathered
                .scores
                .get(seq)
                .map_or(String::new(), |s| format!(", {} {}", s.metric, s.score));
            let class = if way.contains(seq) { " on" } else { "" };
            self.html.put(format_args!(
                "<circle class=\"{}{class}\" cx=\"{x}\" cy=\"{y}\" r=\"5\"><title>#{seq} {}{}</title></circle>\n",
                node.fate, node.fate, Esc(score)
            ))?;
        }
        self.html.put(format_args!(
            "</svg></div><figcaption>{} <span class=\"key alive\">alive</span> <span class=\"key failed\">failed</span> <span class=\"key evicted\">evicted</span> <span class=\"key missing\">missing</span></figcaption></figure>\n",
            Esc(&says)
        ))
    }

    fn table(&mut self, nodes: &BTreeMap<Seq, Node>) -> Result<()> {
        self.html.raw("<details><summary>The same as a table</summary>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Generations\"><table>\n<caption>Generations</caption>\n<thead><tr><th scope=\"col\">Record</th><th scope=\"col\">Number, branch</th><th scope=\"col\">Made from</th><th scope=\"col\">Became</th><th scope=\"col\">Score, as its source says</th></tr></thead>\n<tbody>\n")?;
        for (seq, node) in nodes {
            let mut parents = String::new();
            for parent in node.parents.iter().take(8) {
                // Writing to a string does not fail.
                let _ = write!(parents, "#{parent} ");
            }
            let score = self.gathered.scores.get(seq).map_or(String::new(), |s| {
                format!("{} {} (#{})", s.metric, s.score, s.seq)
            });
            let ordinal = node.ordinal.map_or(String::new(), |n| n.to_string());
            self.html.put(format_args!(
                "<tr><th scope=\"row\">#{seq}</th><td>{ordinal} {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                Esc(&node.branch), parents.trim_end(), Esc(words(node.fate.name())), Esc(score)
            ))?;
        }
        self.html.raw("</tbody></table></div></details>\n")
    }
}

/// Gives each generation a column behind its first parent, and the first row of that column which is free at or below its parent's.
fn place(nodes: &mut BTreeMap<Seq, Node>) {
    let mut taken: BTreeSet<(usize, usize)> = BTreeSet::new();
    let seqs: Vec<Seq> = nodes.keys().copied().collect();
    for seq in seqs {
        // Parents come before their children, so theirs are placed.
        let parent = nodes
            .get(&seq)
            .and_then(|node| node.parents.first())
            .and_then(|parent| nodes.get(parent));
        let (column, mut row) = parent.map_or((0, 0), |parent| (parent.column + 1, parent.row));
        while !taken.insert((column, row)) {
            row += 1;
        }
        if let Some(node) = nodes.get_mut(&seq) {
            (node.column, node.row) = (column, row);
        }
    }
}

/// The generation with the highest number of the metric that most have, and that number.
fn best(scores: &BTreeMap<Seq, Score>) -> Option<(Seq, String)> {
    let mut metrics: BTreeMap<&str, usize> = BTreeMap::new();
    for score in scores.values() {
        *metrics.entry(&score.metric).or_default() += 1;
    }
    let (metric, _) = metrics.into_iter().max_by_key(|(_, count)| *count)?;
    let numbers = scores.iter().filter(|(_, score)| score.metric == metric);
    let numbers =
        numbers.filter_map(|(seq, score)| Some((*seq, score, score.score.parse::<f64>().ok()?)));
    let (seq, score, _) = numbers
        .filter(|(_, _, n)| n.is_finite())
        .max_by(|a, b| a.2.total_cmp(&b.2))?;
    Some((seq, format!("{} ({})", score.metric, score.score)))
}

/// The first parents from a generation to the root.
fn way(nodes: &BTreeMap<Seq, Node>, from: Option<Seq>) -> BTreeSet<Seq> {
    let mut way = BTreeSet::new();
    let mut next = from;
    while let Some(seq) = next.take() {
        if let Some(node) = nodes.get(&seq)
            && way.insert(seq)
        {
            next = node.parents.first().copied();
        }
    }
    way
}
