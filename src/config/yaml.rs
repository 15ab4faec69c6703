//! YAML 1.2 text to a tree. Nothing is guessed: scalars stay text until the schema says what they must be, so `0600`,
//! `off` and `no` are what was written. Duplicate keys, aliases, tags and further documents are refused.

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use super::place::{KeyPath, Place, Source, before_value};
use super::report::Finding;
use super::tree::{Entry, Kind, Node};

/// How deep lists and maps may nest. The schema needs six.
const DEPTH: usize = 32;

/// How many values one text may hold.
const NODES: usize = 20_000;

/// Reads one document.
///
/// # Errors
/// When the text has no structure to go on with: the findings say why.
pub(super) fn parse(text: &str, source: &Source) -> Result<(Node, Vec<Finding>), Vec<Finding>> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut builder = Builder { source, stack: Vec::new(), root: None, nodes: 0, findings: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                if builder.take(event, span).is_err() {
                    return Err(builder.findings);
                }
            }
            Err(error) => {
                let mark = error.marker();
                let place = builder.place(mark.line(), mark.col());
                let problem = format!("this is not YAML: {}", error.info());
                builder.findings.push(Finding::new(place, &KeyPath::default(), problem));
                return Err(builder.findings);
            }
        }
    }
    let root = builder.root.unwrap_or_else(|| Node::new(Place::start(source.clone()), Kind::Nothing));
    Ok((root, builder.findings))
}

struct Builder<'a> {
    source: &'a Source,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    findings: Vec<Finding>,
}

/// A list or map that is not complete.
struct Frame {
    place: Place,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value is still to come; without a name it has its finding already.
struct Key {
    name: Option<String>,
    place: Place,
}

/// There is no going on.
struct Stop;

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span.start.line(), span.start.col());
        let tag = event.tag().is_some();
        if tag {
            self.find(place.clone(), "YAML tags mean nothing here; write the value without one".to_owned());
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                let nothing = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = match (tag, nothing) {
                    (true, _) => Kind::Bad,
                    (false, true) => Kind::Nothing,
                    (false, false) => Kind::Scalar { text: text.into_owned(), plain },
                };
                self.attach(Node::new(place, kind), &span)
            }
            Event::SequenceStart(..) => self.open(place, Open::List(Vec::new())),
            Event::MappingStart(..) => self.open(place, Open::Map { entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else { return Ok(()) };
                let kind = match frame.open {
                    Open::List(items) => Kind::List(items),
                    Open::Map { entries, .. } => Kind::Map(entries),
                };
                self.attach(Node::new(frame.place, kind), &span)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.find(place.clone(), "YAML aliases are not read; write the value out".to_owned());
                self.attach(Node::new(place, Kind::Bad), &span)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                self.find(place, "there must be one YAML document only".to_owned());
                Err(Stop)
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => Ok(()),
            // Markers of things that are not values; there may be more of them in time.
            Event::Anchor(..) | _ => Ok(()),
        }
    }

    fn open(&mut self, place: Place, open: Open) -> Result<(), Stop> {
        if self.stack.len() >= DEPTH {
            self.find(place, format!("nested deeper than {DEPTH} levels"));
            return Err(Stop);
        }
        self.stack.push(Frame { place, open });
        Ok(())
    }

    fn attach(&mut self, node: Node, span: &Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES {
            self.find(node.place, format!("more than {NODES} values"));
            return Err(Stop);
        }
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, key: pending }) => match pending.take() {
                None => {
                    let name = match node.kind {
                        Kind::Scalar { text, .. } => Some(text),
                        Kind::Nothing | Kind::Bad | Kind::List(_) | Kind::Map(_) => None,
                    };
                    let nameless = name.is_none();
                    *pending = Some(Key { name, place: node.place.clone() });
                    if nameless {
                        let place = self.place(span.start.line(), span.start.col());
                        self.find(place, "a key must be a word".to_owned());
                    }
                }
                Some(Key { name: None, .. }) => {}
                Some(Key { name: Some(name), place }) => {
                    if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                        let problem = format!("given twice; first on line {}", first.place.line);
                        let path = self.path().key(before_value(&name));
                        self.findings.push(Finding::new(place, &path, problem));
                    } else {
                        entries.push(Entry { key: name, place, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    /// The path of the map or list that is open.
    fn path(&self) -> KeyPath {
        let parents = self.stack.iter().rev().skip(1).rev();
        parents.fold(KeyPath::default(), |path, frame| match &frame.open {
            Open::List(items) => path.item(items.len()),
            Open::Map { key: Some(Key { name: Some(name), .. }), .. } => path.key(name),
            Open::Map { .. } => path,
        })
    }

    fn find(&mut self, place: Place, problem: String) {
        let path = match self.stack.last().map(|frame| &frame.open) {
            Some(Open::Map { key: Some(Key { name: Some(name), .. }), .. }) => self.path().key(name),
            Some(Open::List(items)) => self.path().item(items.len()),
            Some(Open::Map { .. }) | None => self.path(),
        };
        self.findings.push(Finding::new(place, &path, problem));
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place { source: self.source.clone(), line, column: column.saturating_add(1) }
    }
}
