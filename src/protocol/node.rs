//! JSON as it came: stricter than JSON itself, and with errors that say where.

use std::cell::Cell;
use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer};
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{ErrorCode, ErrorReply};
use crate::text::nearest;

/// How deep lists and objects may be nested in a line.
pub const MAX_DEPTH: usize = 32;

/// A value in a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the line, each key once.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Node, ErrorReply> {
        let flaw = Cell::new(None);
        let mut json = serde_json::Deserializer::from_str(line);
        let read = Builder { depth: 0, flaw: &flaw }.deserialize(&mut json);
        read.and_then(|node| json.end().map(|()| node)).map_err(|error| {
            let code = flaw.get().unwrap_or(ErrorCode::BadJson);
            // It is one line, so the column alone says where.
            let text = error.to_string();
            let (what, column) = (text.split(" at line ").next(), error.column());
            let what = what.unwrap_or_default();
            let message = match code {
                ErrorCode::BadJson => {
                    format!(
                        "this is no JSON: {what} at column {column}; write one object on one line"
                    )
                }
                _ => format!("{what} at column {column}"),
            };
            ErrorReply::new(code, message)
        })
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Node::Null => Unexpected::Unit,
            Node::Bool(value) => Unexpected::Bool(*value),
            Node::Unsigned(value) => Unexpected::Unsigned(*value),
            Node::Signed(value) => Unexpected::Signed(*value),
            Node::Float(value) => Unexpected::Float(*value),
            Node::Text(value) => Unexpected::Str(value),
            Node::List(_) => Unexpected::Seq,
            Node::Object(_) => Unexpected::Map,
        }
    }
}

/// Builds a node from JSON, and refuses what is too deep or has a key twice.
#[derive(Clone, Copy)]
struct Builder<'a> {
    depth: usize,
    /// What is wrong, if it is not the JSON itself.
    flaw: &'a Cell<Option<ErrorCode>>,
}

impl Builder<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            self.flaw.set(Some(ErrorCode::TooDeep));
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Builder { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Node, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(inner)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut seen = std::collections::HashSet::new();
        let mut nodes = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                self.flaw.set(Some(ErrorCode::DuplicateField));
                return Err(de::Error::custom(format_args!("the key `{key}` is there twice")));
            }
            nodes.push((key, object.next_value_seed(inner)?));
        }
        Ok(Node::Object(nodes))
    }
}

/// What is wrong with a field, and which it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldError {
    code: ErrorCode,
    /// From the outermost key to the innermost.
    path: String,
    what: String,
}

impl FieldError {
    fn new(code: ErrorCode, what: impl Into<String>) -> Self {
        FieldError { code, path: String::new(), what: what.into() }
    }

    /// The same, seen from outside the value of `key`.
    fn under(mut self, key: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => key.to_string(),
            inner => format!("{key}.{inner}"),
        };
        self
    }

    /// As a reply; `place` says whose fields these are. What it quotes from the line is cut short.
    pub(super) fn reply(self, place: &str) -> ErrorReply {
        const MOST: usize = 300;
        let mut message = format!("{place}: {self}");
        if let Some((end, _)) = message.char_indices().nth(MOST) {
            message.truncate(end);
            message.push_str(" ...");
        }
        ErrorReply::new(self.code, message)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "`{}`: {}", self.path, self.what)
    }
}

impl std::error::Error for FieldError {}

fn one_of(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// What was expected and what was found, in a person's words.
fn must_be(expected: &dyn de::Expected, found: Unexpected<'_>) -> String {
    let expected = expected.to_string();
    let expected = match expected.as_str() {
        "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other,
    };
    let found = match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the text \"{text}\""),
        Unexpected::Unit => "null".to_string(),
        Unexpected::Seq => "a list".to_string(),
        Unexpected::Map => "an object".to_string(),
        other => other.to_string(),
    };
    format!("this must be {expected}, not {found}")
}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        FieldError::new(ErrorCode::BadValue, what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        FieldError::new(ErrorCode::WrongType, must_be(expected, found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        FieldError::new(ErrorCode::BadValue, must_be(expected, found))
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        let what = format!("`{word}` is none of {}", one_of(expected));
        FieldError::new(ErrorCode::BadValue, what)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = match (nearest(field, expected.iter().copied()), expected) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "it takes no fields of its own".to_string(),
            (None, _) => format!("it takes {}", one_of(expected)),
        };
        FieldError::new(ErrorCode::UnknownField, format!("no field `{field}` is known; {hint}"))
    }

    fn missing_field(field: &'static str) -> Self {
        FieldError::new(ErrorCode::MissingField, format!("the field `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        FieldError::new(ErrorCode::DuplicateField, format!("the field `{field}` is there twice"))
    }
}

impl<'de> IntoDeserializer<'de, FieldError> for Node {
    type Deserializer = Node;

    fn into_deserializer(self) -> Node {
        self
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(value),
            Node::Unsigned(value) => visitor.visit_u64(value),
            Node::Signed(value) => visitor.visit_i64(value),
            Node::Float(value) => visitor.visit_f64(value),
            Node::Text(value) => visitor.visit_string(value),
            Node::List(nodes) => visitor.visit_seq(SeqDeserializer::new(nodes.into_iter())),
            Node::Object(nodes) => {
                visitor.visit_map(Object { nodes: nodes.into_iter(), next: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Node::Null => visitor.visit_none(),
            node => visitor.visit_some(node),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    /// Of the kinds of enum that serde knows only words are used here.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self {
            Node::Text(word) => {
                let word: StrDeserializer<'_, FieldError> = word.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            other => Err(de::Error::invalid_type(other.unexpected(), &"a word")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The fields of an object; their errors are told with the field's name.
struct Object {
    nodes: std::vec::IntoIter<(String, Node)>,
    next: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Object {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FieldError> {
        self.next = self.nodes.next();
        let Some((key, _)) = &self.next else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, FieldError> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, FieldError> {
        let (key, node) = self.next.take().ok_or_else(|| FieldError::missing_field("value"))?;
        seed.deserialize(node).map_err(|error| error.under(&key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len())
    }
}
