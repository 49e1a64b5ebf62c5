//! Lineage: generations as a graph in flat rows, with score, gain, what changed, and drift.

use std::cmp::Ordering;
use std::collections::HashSet;

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tacho_schemas::body::change::Fate;
use tacho_schemas::{Kind, Seq};

use super::Scroll;
use crate::answer::lineage::{Graph, Node};
use crate::app::{App, Hit, Screen};
use crate::ask::Ask;
use crate::draw::{Pen, take_row};
use crate::keys::Action;

use crate::text::{self, count, thousands};
use crate::theme::{Glyphs, Role};

/// Keys that may be typed before the graph is there.
const AHEAD: usize = 16;

/// In which order generations stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Order {
    /// Under the one that each was made from.
    #[default]
    Tree,
    /// The highest score first.
    Score,
    /// The largest gain over the parent first.
    Gain,
    /// Those without a reason first.
    NoReason,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Tree => Self::Score,
            Self::Score => Self::Gain,
            Self::Gain => Self::NoReason,
            Self::NoReason => Self::Tree,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Score => "by score",
            Self::Gain => "by gain",
            Self::NoReason => "without a reason",
        }
    }
}

/// A row: a generation, and the branches left of it.
#[derive(Clone, Debug)]
struct Flat {
    node: usize,
    rails: String,
    hidden: usize,
}

/// The graph, and where we are in it.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// The record that the graph was asked for.
    pub(crate) asked: Option<(Seq, i64)>,
    shift: i64,
    graph: Option<Graph>,
    none: bool,
    order: Order,
    folded: HashSet<usize>,
    /// Only the way from the root to this one.
    line: Option<usize>,
    rows: Vec<Flat>,
    scroll: Scroll,
    /// Keys that were typed before the graph was there.
    ahead: Vec<Action>,
}

impl Lineage {
    fn node(&self, at: usize) -> Option<&Node> {
        self.graph.as_ref().and_then(|graph| graph.nodes.get(at))
    }

    /// Which row the cursor is on.
    fn place(&self, cursor: Seq) -> Option<usize> {
        let exact = self
            .rows
            .iter()
            .position(|row| self.node(row.node).is_some_and(|node| node.seq == cursor));
        let near = self.graph.as_ref().and_then(|graph| graph.near);
        exact.or_else(|| self.rows.iter().position(|row| Some(row.node) == near))
    }

    /// All generations, in plain lines.
    /// The number of the lineage that is here.
    pub(crate) fn number(&self) -> Option<Seq> {
        self.graph.as_ref().map(|graph| graph.lineage)
    }

    pub(crate) fn plain(&self) -> Vec<String> {
        let Some(graph) = &self.graph else {
            return vec!["no generation is recorded".to_owned()];
        };
        let mut lines = vec![format!(
            "{}, lineage {} of {}",
            graph.name, graph.place.0, graph.place.1
        )];
        for row in &self.rows {
            let Some(node) = graph.nodes.get(row.node) else {
                continue;
            };
            let parents: Vec<String> = node
                .parents
                .iter()
                .filter_map(|at| graph.nodes.get(*at))
                .map(|parent| format!("#{}", parent.seq))
                .collect();
            let from = match parents.is_empty() {
                true => "a root".to_owned(),
                false => format!("from {}", parents.join(" and ")),
            };
            let score = node
                .score
                .as_ref()
                .map_or("not measured".to_owned(), |(score, _)| {
                    format!("{} {score}", graph.metric)
                });
            let gain = node
                .gain
                .map_or(String::new(), |gain| format!(", gain {gain:+.4}"));
            let best = if graph.best == Some(row.node) {
                ", the best"
            } else {
                ""
            };
            lines.push(format!(
                "#{} {} {}, {from}, {score}{gain}{best}, drift {}",
                node.seq, node.name, node.fate, node.drift
            ));
            for step in &node.steps {
                let why = step
                    .why
                    .as_ref()
                    .map_or("no reason given".to_owned(), |why| format!("says: {why}"));
                lines.push(format!("  #{} changed {}: {why}", step.seq, step.parts));
            }
        }
        lines
    }

    /// Whether a record belongs to a generation that is here.
    fn holds(&self, cursor: Seq) -> bool {
        let graph = self.graph.as_ref();
        graph.is_some_and(|graph| graph.nodes.iter().any(|node| node.seq == cursor))
    }

    /// Lays the rows out anew.
    fn lay_out(&mut self, glyphs: &Glyphs) {
        let Some(graph) = &self.graph else {
            self.rows.clear();
            return;
        };
        self.rows = match self.order {
            Order::Tree => tree(graph, &self.folded, self.line, glyphs),
            Order::Score => sorted(graph, |node| node.score.as_ref().and_then(|score| score.1)),
            Order::Gain => sorted(graph, |node| node.gain),
            Order::NoReason => {
                let lacks = |node: &Node| {
                    let steps = &node.steps;
                    !steps.is_empty() && steps.iter().any(|step| step.why.is_none())
                };
                sorted(graph, |node| lacks(node).then_some(0.0))
            }
        };
    }
}

/// Generations by a number, the highest first; those without it are left out.
fn sorted(graph: &Graph, by: impl Fn(&Node) -> Option<f64>) -> Vec<Flat> {
    let mut found: Vec<(usize, f64)> = graph
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(at, node)| Some((at, by(node)?)))
        .collect();
    found.sort_by(|(a, one), (b, other)| {
        other
            .partial_cmp(one)
            .unwrap_or(Ordering::Equal)
            .then(a.cmp(b))
    });
    found
        .into_iter()
        .map(|(node, _)| Flat {
            node,
            rails: String::new(),
            hidden: 0,
        })
        .collect()
}

/// Generations under the one that each was made from; the branch with the best score goes straight on, others lean to the right.
fn tree(graph: &Graph, folded: &HashSet<usize>, line: Option<usize>, glyphs: &Glyphs) -> Vec<Flat> {
    let all = graph.nodes.len();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); all];
    let mut roots = Vec::new();
    let mut weight: Vec<(f64, usize)> = vec![(f64::NEG_INFINITY, 1); all];
    let kept: Option<HashSet<usize>> = line.map(|line| {
        let mut way = HashSet::new();
        let mut at = Some(line);
        while let Some(here) = at {
            // A parent comes before its child, so this ends.
            way.insert(here);
            let parents = graph.nodes.get(here).map(|node| &node.parents);
            at = parents
                .and_then(|parents| parents.first().copied())
                .filter(|p| *p < here);
        }
        way
    });
    let is_kept = |at: &usize| kept.as_ref().is_none_or(|kept| kept.contains(at));
    for (at, node) in graph.nodes.iter().enumerate().filter(|(at, _)| is_kept(at)) {
        match node.parents.first().filter(|parent| **parent < at) {
            Some(parent) => {
                if let Some(list) = children.get_mut(*parent) {
                    list.push(at);
                }
            }
            None => roots.push(at),
        }
    }
    // The best score beneath, and how many there are.
    for at in (0..all).rev() {
        let Some(node) = graph.nodes.get(at) else {
            continue;
        };
        let own = node
            .score
            .as_ref()
            .and_then(|score| score.1)
            .unwrap_or(f64::NEG_INFINITY);
        let (mut best, mut count) = (own, 1);
        for child in children.get(at).into_iter().flatten() {
            if let Some((theirs, many)) = weight.get(*child) {
                best = best.max(*theirs);
                count += many;
            }
        }
        if let Some(own) = weight.get_mut(at) {
            *own = (best, count);
        }
    }
    let weigh = |at: &usize| weight.get(*at).copied().unwrap_or((f64::NEG_INFINITY, 0));
    let mut rows = Vec::new();
    // What is still to be drawn: a generation, the rails left of it, and those left of what follows it.
    let mut open: Vec<(usize, String, String)> = roots
        .into_iter()
        .rev()
        .map(|root| (root, String::new(), String::new()))
        .collect();
    while let Some((at, rails, below)) = open.pop() {
        let mut next: Vec<usize> = children.get(at).cloned().unwrap_or_default();
        let hidden = if folded.contains(&at) {
            let many: usize = next.iter().map(|child| weigh(child).1).sum();
            next.clear();
            many
        } else {
            0
        };
        rows.push(Flat {
            node: at,
            rails,
            hidden,
        });
        next.sort_by(|a, b| {
            let by_best = weigh(a)
                .0
                .partial_cmp(&weigh(b).0)
                .unwrap_or(Ordering::Equal);
            by_best.then(weigh(a).1.cmp(&weigh(b).1)).then(a.cmp(b))
        });
        // The last of them goes straight on.
        let Some(main) = next.pop() else { continue };
        open.push((main, below.clone(), below.clone()));
        for child in next.into_iter().rev() {
            let rails = format!("{below}{}", glyphs.branch);
            open.push((child, rails, format!("{below}{}", glyphs.trunk)));
        }
    }
    rows
}

impl App {
    pub(crate) fn take_graph(&mut self, graph: Option<Graph>) {
        let lineage = &mut self.lineage;
        let same = match (&lineage.graph, &graph) {
            (Some(old), Some(new)) => old.lineage == new.lineage,
            _ => false,
        };
        if !same {
            lineage.folded.clear();
            lineage.line = None;
            lineage.scroll = Scroll::default();
        }
        lineage.none = graph.is_none();
        let lost = self.lineage.shift != 0;
        self.lineage.shift = 0;
        self.lineage.graph = graph;
        self.lineage.lay_out(self.glyphs);
        // Another lineage was asked for: the cursor goes along.
        if let (true, Some(graph)) = (lost, &self.lineage.graph) {
            self.timeline.follow = false;
            self.cursor = graph.nodes.last().map_or(graph.lineage, |node| node.seq);
            self.lineage.asked = Some((self.cursor, 0));
        }
        match (self.lineage.order, self.lineage.place(self.cursor)) {
            // What is ordered is read from its top.
            (order, _) if order != Order::Tree && !same => self.choose_row(0),
            (_, Some(place)) => self.lineage.scroll.show(place),
            _ => {}
        }
        for action in std::mem::take(&mut self.lineage.ahead) {
            self.act(action);
        }
    }

    pub(crate) fn lineage_refresh(&mut self) {
        let key = (self.cursor, self.lineage.shift);
        let known = self.lineage.shift == 0 && self.lineage.holds(self.cursor);
        if self.lineage.asked == Some(key) || (known && self.lineage.asked.is_some()) {
            return;
        }
        self.lineage.asked = Some(key);
        self.ask(Ask::Lineage {
            near: key.0,
            shift: key.1,
        });
    }

    pub(crate) fn lineage_act(&mut self, action: Action) {
        if self.lineage.graph.is_none() && !self.lineage.none {
            if self.lineage.ahead.len() < AHEAD {
                self.lineage.ahead.push(action);
            }
            return;
        }
        let place = self.lineage.place(self.cursor).unwrap_or(0);
        let here = self.lineage.rows.get(place).map(|row| row.node);
        match action {
            Action::Enter => {
                if let Some(seq) = here
                    .and_then(|at| self.lineage.node(at))
                    .map(|node| node.seq)
                {
                    self.open(Screen::Explain, seq);
                }
            }
            Action::Sort => self.sort_by(self.lineage.order.next()),
            Action::Line => {
                let name = here
                    .and_then(|at| self.lineage.node(at))
                    .map(|node| node.seq);
                self.lineage.line = match self.lineage.line {
                    None => here,
                    Some(_) => None,
                };
                self.lineage.order = Order::Tree;
                self.lineage.lay_out(self.glyphs);
                if let (Some(seq), true) = (name, self.lineage.line.is_some()) {
                    self.say(format!(
                        "only the way from the root to #{seq}; o shows all again"
                    ));
                }
            }
            Action::Left | Action::Right => {
                if let Some(at) = here {
                    match action {
                        Action::Left => self.lineage.folded.insert(at),
                        _ => self.lineage.folded.remove(&at),
                    };
                    self.lineage.lay_out(self.glyphs);
                }
            }
            Action::NextLineage | Action::PreviousLineage => {
                self.lineage.shift = if action == Action::NextLineage { 1 } else { -1 };
                self.lineage.asked = None;
            }
            Action::NextPane => {
                let best = self.lineage.graph.as_ref().and_then(|graph| graph.best);
                let row = self
                    .lineage
                    .rows
                    .iter()
                    .position(|row| Some(row.node) == best);
                if let Some(row) = row {
                    self.choose_row(row);
                }
            }
            other => {
                if let Some(distance) = self.lineage.scroll.distance(other) {
                    let last = self.lineage.rows.len().saturating_sub(1);
                    self.choose_row(place.saturating_add_signed(distance).min(last));
                }
            }
        }
    }

    /// Orders the generations, and goes to the first unless they stand as a tree.
    pub(crate) fn sort_by(&mut self, order: Order) {
        self.lineage.order = order;
        self.lineage.lay_out(self.glyphs);
        self.lineage.scroll.top = 0;
        if order != Order::Tree {
            self.choose_row(0);
        }
    }

    /// The generation that a row of the timeline is, or ran under.
    pub(crate) fn generation_here(&self) -> Option<Seq> {
        if self.lineage.holds(self.cursor) {
            return Some(self.cursor);
        }
        let row = self.timeline.row(self.cursor)?;
        let nodes = &self.lineage.graph.as_ref()?.nodes;
        // A change is of the generation that it made, which comes after it; a measurement of the one before.
        let after = nodes.partition_point(|node| node.seq < row.seq);
        let near = match row.kind {
            Some(Kind::Mutation) => nodes.get(after),
            _ => after.checked_sub(1).and_then(|before| nodes.get(before)),
        };
        row.generation.or(near.map(|node| node.seq))
    }

    /// Asks for the lineage around here where it only stands beside something else: once, and again for another one.
    pub(crate) fn lineage_aside(&mut self) {
        if self.lineage.none {
            return;
        }
        let generation = self
            .timeline
            .row(self.cursor)
            .and_then(|row| row.generation);
        let other = generation.is_some_and(|seq| !self.lineage.holds(seq));
        let near = generation.unwrap_or(self.cursor);
        if (self.lineage.graph.is_none() || other) && self.lineage.asked != Some((near, 0)) {
            self.lineage.asked = Some((near, 0));
            self.ask(Ask::Lineage { near, shift: 0 });
        }
    }

    fn choose_row(&mut self, row: usize) {
        let node = self.lineage.rows.get(row).map(|row| row.node);
        if let Some(seq) = node
            .and_then(|at| self.lineage.node(at))
            .map(|node| node.seq)
        {
            self.timeline.follow = false;
            self.cursor = seq;
            self.lineage.scroll.show(row);
        }
    }

    pub(crate) fn draw_lineage(&mut self, pen: &mut Pen<'_>, area: Rect) {
        self.draw_graph(pen, area, self.cursor);
    }

    /// The graph, with one generation chosen in it.
    pub(crate) fn draw_graph(&mut self, pen: &mut Pen<'_>, area: Rect, at: Seq) {
        let mut area = area;
        let title = take_row(&mut area);
        let Some(graph) = &self.lineage.graph else {
            pen.rule(title, title.y, "lineage", "");
            let text = if self.lineage.none {
                "no generation is recorded: import a lineage, or record generations"
            } else {
                "reading"
            };
            pen.text(area.x + 2, area.y + 1, area.width, Role::Dim, text);
            return;
        };
        let (number, of) = graph.place;
        let many = u64::try_from(graph.nodes.len()).unwrap_or(0);
        let mut words = format!("{}  {}", graph.name, count(many, "generation"));
        if of > 1 {
            words.push_str(&format!("  lineage {number} of {of} ({{ }})"));
        }
        let line = if self.lineage.line.is_some() {
            "one line"
        } else {
            self.lineage.order.name()
        };
        pen.rule(title, title.y, &words, &format!("{line} · s"));
        let columns = Columns::of(graph, &self.lineage.rows, area.width);
        let head = take_row(&mut area);
        columns.head(pen, head, &graph.metric);
        let clicks = columns.clicks(head);
        self.hits
            .extend(clicks.map(|(rect, order)| (rect, Hit::SortBy(order))));
        if self.lineage.rows.is_empty() {
            let text = match self.lineage.order {
                Order::NoReason => "every change has a reason",
                Order::Gain => "no generation and its parent were both measured",
                _ => "no generation was measured",
            };
            pen.text(area.x + 2, area.y, area.width, Role::Dim, text);
            return;
        }
        let place = self.lineage.place(at);
        self.lineage
            .scroll
            .fit(self.lineage.rows.len(), area.height);
        if let Some(place) = place {
            self.lineage.scroll.show(place);
        }
        let top = self.lineage.scroll.top;
        let mut hits = Vec::new();
        let graph = self.lineage.graph.as_ref();
        for (y, (at, flat)) in
            (area.top()..area.bottom()).zip(self.lineage.rows.iter().enumerate().skip(top))
        {
            let line = Rect {
                y,
                height: 1,
                ..area
            };
            let Some((graph, node)) = graph.and_then(|g| Some((g, g.nodes.get(flat.node)?))) else {
                continue;
            };
            columns.row(pen, line, flat, node, graph.best == Some(flat.node));
            hits.push((line, Hit::Row(node.seq)));
            if Some(at) == place {
                pen.select(line);
                pen.styled(
                    line.x,
                    y,
                    1,
                    ratatui::style::Style::new(),
                    pen.glyphs.cursor,
                );
            }
        }
        self.hits.extend(hits);
    }
}

/// Where things stand in a row.
struct Columns {
    graph: u16,
    seq: u16,
    name: u16,
    score: u16,
    /// None where there is no room.
    lines: u16,
    /// What was changed.
    parts: u16,
}

impl Columns {
    fn of(graph: &Graph, rows: &[Flat], width: u16) -> Self {
        let cells = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let rails = rows
            .iter()
            .map(|row| text::width(&row.rails))
            .max()
            .unwrap_or(0);
        let seq = graph
            .nodes
            .last()
            .map_or(3, |node| thousands(node.seq.0).len() + 1);
        let name = graph
            .nodes
            .iter()
            .map(|node| text::width(&node.name))
            .max()
            .unwrap_or(0);
        let steps = graph.nodes.iter().flat_map(|node| &node.steps);
        let parts = steps
            .map(|step| text::width(&step.parts))
            .max()
            .unwrap_or(0);
        Self {
            graph: cells(rails + 2).min(width / 8),
            seq: cells(seq),
            name: cells(name).clamp(4, if width < 100 { 14 } else { 30 }),
            score: 9,
            lines: if width < 100 { 0 } else { 11 },
            parts: cells(parts).min(12),
        }
    }

    /// First cells: graph, number, name, score, gain, change, drift, words.
    fn places(&self, x: u16) -> [u16; 8] {
        let graph = x + 2;
        let seq = graph + self.graph + 1;
        let name = seq + self.seq + 1;
        let score = name + self.name + 3;
        let gain = score + self.score + 1;
        let change = gain + 9;
        let drift = change + self.lines;
        [graph, seq, name, score, gain, change, drift, drift + 7]
    }

    /// What a click on a column's head orders by.
    fn clicks(&self, line: Rect) -> [(Rect, Order); 4] {
        let [_, _, name, score, gain, change, _, words] = self.places(line.x);
        let cell = |x: u16, end: u16| Rect {
            x,
            width: end.min(line.right()).saturating_sub(x),
            ..line
        };
        [
            (cell(name, score), Order::Tree),
            (cell(score, gain), Order::Score),
            (cell(gain, change), Order::Gain),
            (cell(words, line.right()), Order::NoReason),
        ]
    }

    fn head(&self, pen: &mut Pen<'_>, line: Rect, metric: &str) {
        let [graph, seq, name, score, gain, change, drift, words] = self.places(line.x);
        let metric = text::cut(metric, usize::from(self.score));
        for (x, text) in [
            (graph, ""),
            (seq, "seq"),
            (name, "name"),
            (score, metric.as_str()),
            (gain, "gain"),
            (change, if self.lines > 0 { "lines" } else { "" }),
            (drift, "drift"),
            (words, "why, as it says"),
        ] {
            pen.text(x, line.y, line.right().saturating_sub(x), Role::Dim, text);
        }
    }

    fn row(&self, pen: &mut Pen<'_>, line: Rect, flat: &Flat, node: &Node, best: bool) {
        let [graph, seq, name, score, gain, change, drift, words] = self.places(line.x);
        let y = line.y;
        let room = |x: u16| line.right().saturating_sub(x);
        // The nearest branches, where there are more than fit.
        let rails = text::width(&flat.rails) + 2;
        let hidden = rails.saturating_sub(usize::from(self.graph));
        let x = graph
            + pen.text(
                graph,
                y,
                self.graph,
                Role::Dim,
                text::skip(&flat.rails, hidden),
            );
        let (glyph, role) = match node.fate {
            _ if node.by_human => (pen.glyphs.human, Role::Ok),
            Fate::Failed => (pen.glyphs.deny, Role::Deny),
            Fate::Missing => (pen.glyphs.absent, Role::Dim),
            Fate::Evicted => (pen.glyphs.dot, Role::Dim),
            Fate::Alive => (pen.glyphs.alive, Role::Text),
        };
        pen.text(x, y, 1, role, glyph);
        if flat.hidden > 0 {
            pen.text(x + 1, y, 1, Role::Accent, pen.glyphs.folded);
        }
        pen.text(
            seq,
            y,
            self.seq,
            Role::Accent,
            &format!("#{}", thousands(node.seq.0)),
        );
        let role = if node.fate == Fate::Alive {
            Role::Text
        } else {
            Role::Dim
        };
        let fate = match node.fate {
            Fate::Alive => String::new(),
            other => format!(" {other}"),
        };
        let label = match flat.hidden {
            0 => format!("{}{fate}", node.name),
            hidden => format!("{} (+{hidden})", node.name),
        };
        let label = text::cut_middle(&label, usize::from(self.name));
        pen.text(name, y, self.name.min(room(name)), role, &label);
        if let Some((text, _)) = &node.score {
            let mut style = pen.theme.style(Role::Fact);
            if best {
                style = pen.theme.style(Role::Ok).add_modifier(Modifier::BOLD);
                pen.styled(score.saturating_sub(2), y, 1, style, pen.glyphs.best);
            }
            let short: String = text.chars().take(usize::from(self.score)).collect();
            pen.styled(score, y, self.score.min(room(score)), style, &short);
        }
        if let Some(number) = node.gain {
            let role = match number.partial_cmp(&0.0) {
                Some(Ordering::Greater) => Role::Ok,
                Some(Ordering::Less) => Role::Deny,
                _ => Role::Dim,
            };
            pen.text(gain, y, 8.min(room(gain)), role, &format!("{number:+.4}"));
        }
        let (add, remove) = node.steps.iter().fold((0, 0), |(add, remove), step| {
            (
                add + step.added.unwrap_or(0),
                remove + step.removed.unwrap_or(0),
            )
        });
        if self.lines > 0 && !node.steps.is_empty() {
            let cells = pen.text(
                change,
                y,
                6.min(room(change)),
                Role::Add,
                &format!("+{add}"),
            );
            let x = change + cells + 1;
            pen.text(x, y, 6.min(room(x)), Role::Remove, &format!("−{remove}"));
        }
        pen.text(
            drift,
            y,
            5.min(room(drift)),
            Role::Dim,
            &node.drift.to_string(),
        );
        if let Some(step) = node
            .steps
            .iter()
            .find(|step| step.why.is_some())
            .or(node.steps.first())
        {
            let mut x = words;
            if room(words) > 50 {
                pen.text(x, y, self.parts, Role::Dim, &step.parts);
                x += self.parts + 1;
            }
            match &step.why {
                Some(why) => {
                    x += pen.text(x, y, 1.min(room(x)), Role::Bar, pen.glyphs.claim) + 1;
                    pen.text(x, y, room(x), Role::Claim, why);
                }
                None => {
                    pen.text(x, y, room(x), Role::Dim, "∅ no reason given");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::UNICODE;

    fn node(seq: u64, parent: Option<usize>, score: f64) -> Node {
        Node {
            seq: Seq(seq),
            name: String::new(),
            fate: Fate::Alive,
            parents: parent.into_iter().collect(),
            score: Some((score.to_string(), Some(score))),
            gain: None,
            steps: Vec::new(),
            drift: 0,
            by_human: false,
        }
    }

    fn graph() -> Graph {
        Graph {
            lineage: Seq(0),
            name: String::new(),
            place: (1, 1),
            nodes: vec![
                node(0, None, 0.1),
                node(1, Some(0), 0.5),
                node(2, Some(0), 0.2),
                node(3, Some(1), 0.9),
                node(4, Some(2), 0.3),
                node(5, Some(1), 0.4),
            ],
            metric: String::new(),
            best: Some(3),
            near: None,
        }
    }

    fn shown(rows: &[Flat]) -> Vec<String> {
        rows.iter()
            .map(|row| format!("{}{}", row.rails, row.node))
            .collect()
    }

    #[test]
    fn the_best_line_goes_straight_on() {
        let rows = tree(&graph(), &HashSet::new(), None, &UNICODE);
        assert_eq!(shown(&rows), ["0", "├─2", "│ 4", "1", "├─5", "3"]);
    }

    #[test]
    fn branches_fold_and_one_line_can_be_followed() {
        let rows = tree(&graph(), &HashSet::from([2]), None, &UNICODE);
        assert_eq!(shown(&rows), ["0", "├─2", "1", "├─5", "3"]);
        assert_eq!(rows[1].hidden, 1);
        let rows = tree(&graph(), &HashSet::new(), Some(4), &UNICODE);
        assert_eq!(shown(&rows), ["0", "2", "4"]);
    }
}
