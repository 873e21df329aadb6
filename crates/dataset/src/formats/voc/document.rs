//! One document of Pascal VOC.

use quick_xml::Reader;
use quick_xml::events::Event;

/// How deep elements may be nested. VOC's go to five.
const MAX_DEPTH: usize = 32;
/// The most objects of a picture.
const MAX_OBJECTS: usize = 1_000_000;

/// What a document says.
#[derive(Debug, Default, PartialEq)]
pub struct Document {
    /// `filename`
    pub filename: String,
    /// `size`: width, height, depth.
    pub size: [Option<f64>; 3],
    /// `object`
    pub objects: Vec<Described>,
    /// Elements `part`, which are passed over.
    pub parts: usize,
}

/// An `object`.
#[derive(Debug, Default, PartialEq)]
pub struct Described {
    /// `name`
    pub name: String,
    /// `xmin`, `ymin`, `xmax`, `ymax` as written: pixels counted from 1, both ends inside.
    pub edges: [Option<f64>; 4],
    /// `difficult`
    pub is_difficult: bool,
    /// `truncated`
    pub is_truncated: bool,
    /// `occluded`
    pub is_occluded: bool,
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No well-formed XML.
    #[error("no well-formed XML: {0}")]
    Xml(#[from] quick_xml::Error),
    /// The document ends within an element.
    #[error("the document ends within <{0}>")]
    Cut(String),
    /// Elements are nested too deeply, or there are too many.
    #[error("more than {0}")]
    TooMuch(&'static str),
    /// Not Pascal VOC.
    #[error("the first element is <{0}>: <annotation> works")]
    Root(String),
    /// An entity that XML does not have by itself.
    #[error("the entity &{0}; is not one of XML's own")]
    Entity(String),
    /// A text that should be a number.
    #[error("<{name}> is {text:?}, which is no number")]
    Number {
        /// The element.
        name: String,
        /// Its text.
        text: String,
    },
}

impl Document {
    /// Parses a document. Entities of its own are refused, and nothing is fetched.
    ///
    /// # Errors
    /// [`DocumentError`]
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let mut reader = Reader::from_str(text);
        let mut document = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut content = String::new();
        let mut has_root = false;
        loop {
            match reader.read_event()? {
                Event::Start(element) => {
                    let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
                    if path.len() == MAX_DEPTH {
                        return Err(DocumentError::TooMuch("32 elements are nested"));
                    }
                    path.push(name);
                    document.begin(&path)?;
                    has_root = true;
                    content.clear();
                }
                Event::Empty(element) => {
                    let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
                    path.push(name);
                    document.begin(&path)?;
                    has_root = true;
                    path.pop();
                }
                Event::Text(text) => content.push_str(&text.decode().map_err(quick_xml::Error::from)?),
                Event::CData(text) => content.push_str(&text.decode().map_err(quick_xml::Error::from)?),
                Event::GeneralRef(entity) => {
                    let name = entity.decode().map_err(quick_xml::Error::from)?.into_owned();
                    content.push(match (&*name, entity.resolve_char_ref()?) {
                        (_, Some(letter)) => letter,
                        ("amp", _) => '&',
                        ("lt", _) => '<',
                        ("gt", _) => '>',
                        ("quot", _) => '"',
                        ("apos", _) => '\'',
                        _ => return Err(DocumentError::Entity(name)),
                    });
                }
                Event::End(_) => {
                    document.end(&path, content.trim())?;
                    path.pop();
                    content.clear();
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match path.pop() {
            Some(open) => Err(DocumentError::Cut(open)),
            None if !has_root => Err(DocumentError::Root(String::new())),
            None => Ok(document),
        }
    }

    fn begin(&mut self, path: &[String]) -> Result<(), DocumentError> {
        match &path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["annotation"] => {}
            [other] => return Err(DocumentError::Root((*other).to_owned())),
            ["annotation", "object"] => {
                if self.objects.len() == MAX_OBJECTS {
                    return Err(DocumentError::TooMuch("a million objects"));
                }
                self.objects.push(Described::default());
            }
            ["annotation", "object", "part"] => self.parts += 1,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, path: &[String], text: &str) -> Result<(), DocumentError> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let number = || match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(DocumentError::Number {
                name: path.last().copied().unwrap_or_default().to_owned(),
                text: text.chars().take(40).collect(),
            }),
        };
        // `difficult` and the like are 0 or 1; some programs leave them empty, or write `Unspecified`.
        let is_set = matches!(text, "1" | "true" | "True");
        match path[..] {
            ["annotation", "filename"] => text.clone_into(&mut self.filename),
            ["annotation", "size", "width"] => self.size[0] = Some(number()?),
            ["annotation", "size", "height"] => self.size[1] = Some(number()?),
            ["annotation", "size", "depth"] => self.size[2] = text.parse().ok(),
            ["annotation", "object", ref inner @ ..] => {
                let Some(object) = self.objects.last_mut() else { return Ok(()) };
                match *inner {
                    ["name"] => text.clone_into(&mut object.name),
                    ["difficult"] => object.is_difficult = is_set,
                    ["truncated"] => object.is_truncated = is_set,
                    ["occluded"] => object.is_occluded = is_set,
                    ["bndbox", "xmin"] => object.edges[0] = Some(number()?),
                    ["bndbox", "ymin"] => object.edges[1] = Some(number()?),
                    ["bndbox", "xmax"] => object.edges[2] = Some(number()?),
                    ["bndbox", "ymax"] => object.edges[3] = Some(number()?),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Document::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn parts_do_not_change_their_object() {
        let text = "<?xml version='1.0'?><annotation><filename>a&amp;b.jpg</filename><size><width>5</width><height>6</height><depth/></size>\
                    <object><name>person</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>\
                    <part><name>head</name><bndbox><xmin>9</xmin></bndbox></part></object></annotation>";
        let document = Document::parse(text).unwrap();
        assert_eq!((&*document.filename, document.size, document.parts), ("a&b.jpg", [Some(5.0), Some(6.0), None], 1));
        assert_eq!((&*document.objects[0].name, document.objects[0].is_difficult), ("person", true));
        assert_eq!(document.objects[0].edges, [Some(1.0), Some(2.5), Some(3.0), Some(4.0)]);
    }

    #[test]
    fn hostile_documents_are_refused_by_name() {
        assert!(error(&"<annotation>".repeat(100_000)).contains("32 elements are nested"));
        let bomb =
            "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><annotation><filename>&c;</filename></annotation>";
        assert!(error(bomb).contains("the entity &c; is not one of XML's own"));
        assert!(error("<html></html>").contains("<html>"));
        assert!(error("<annotation><object>").contains("ends within <object>"));
        assert!(error("").contains("first element"));
        assert!(error("<annotation></b></annotation>").contains("well-formed"));
        let wide = "<annotation><size><width>wide</width></size></annotation>";
        assert!(error(wide).contains("<width> is \"wide\", which is no number"));
    }
}
