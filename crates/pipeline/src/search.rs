use serde::{Deserialize, Serialize};

/// Where a face was looked for, and how large it had to be. Lengths are in pixels of the upright photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Width of the photograph. All of it was searched.
    pub width: u32,
    /// Height of the photograph.
    pub height: u32,
    /// The narrowest face that would have done; none where a network searched, which knows no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<u32>,
    /// The face that was found, and is too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<FoundFace>,
}

/// The square of a face in a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundFace {
    /// Its leftmost column, which may lie outside of the photograph.
    pub left: i32,
    /// Its topmost row, which may lie outside of the photograph.
    pub top: i32,
    /// Its side.
    pub width: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, JobError};

    #[test]
    fn an_error_has_a_search_in_json_only_where_there_was_one() {
        let plain = JobError::new(ErrorCode::Timeout, "late");
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"code":"TIMEOUT","message":"late"}"#);
        let face = FoundFace { left: -2, top: 7, width: 41 };
        let search = Search { width: 220, height: 100, least: Some(48), face: Some(face) };
        let error = JobError { search: Some(search), ..JobError::new(ErrorCode::FaceTooSmall, "small") };
        let json = r#"{"code":"FACE_TOO_SMALL","message":"small","search":{"width":220,"height":100,"least":48,"face":{"left":-2,"top":7,"width":41}}}"#;
        assert_eq!(serde_json::to_string(&error).unwrap(), json);
        assert_eq!(serde_json::from_str::<JobError>(json).unwrap(), error);
    }
}
