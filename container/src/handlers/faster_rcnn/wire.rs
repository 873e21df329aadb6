//! The wire format of object detection by Faster R-CNN: from heads and bytes to pictures, from detections to answers. Pure functions.

use axum::http::StatusCode;
use ndarray::{ArrayViewD, Axis};
use ndarray_npy::ViewNpyExt;
use picture::RgbImage;
use pipeline::ImageType;
use vision::faster_rcnn::Detection;

use crate::handler::Answer;
use crate::handlers::pictures::{accepted_json, decoded, shown};
use crate::handlers::python;
use crate::head::Head;
use crate::media_type::MediaType;
use crate::refusal::Refusal;

/// The most pictures of an invocation.
const MAX_PICTURES: usize = 1000;

/// The content of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `application/x-npy`: a picture `(height, width, 3)`, or pictures of one size, `(pictures, height, width, 3)`; 8 bits, RGB.
    Npy,
    /// A picture.
    Picture,
}

impl Request {
    /// For the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Picture => "picture",
        }
    }
}

/// The pictures of an invocation.
#[derive(Debug, PartialEq, Eq)]
pub struct Pictures {
    /// The pictures.
    pub pictures: Vec<RgbImage>,
    /// Whether the answer is a list, with an object for each picture.
    pub is_list: bool,
}

/// Reads the head of an invocation.
///
/// # Errors
/// 415: a body of another type. 406: an answer that is not JSON.
pub fn request(head: &Head) -> Result<Request, Refusal> {
    accepted_json(head, |_| ())?;
    let content_type = head.content_type.as_deref().unwrap_or_default();
    match MediaType::parse(content_type).essence.as_str() {
        "application/x-npy" => Ok(Request::Npy),
        _ if ImageType::check_content_type(content_type).is_ok() => Ok(Request::Picture),
        _ => {
            let message = format!(
                "Content-Type: {:?} cannot be read: application/x-npy, image/jpeg, image/png and image/webp can",
                shown(content_type)
            );
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_TYPE", message))
        }
    }
}

/// The pictures of a body.
///
/// # Errors
/// [`Refusal`]: 415, 400 or 413.
pub fn pictures(request: Request, body: &[u8]) -> Result<Pictures, Refusal> {
    match request {
        Request::Picture => Ok(Pictures { pictures: vec![decoded(body)?], is_list: false }),
        Request::Npy => of_array(body),
    }
}

fn of_array(bytes: &[u8]) -> Result<Pictures, Refusal> {
    let bad = |message| Refusal::new(StatusCode::BAD_REQUEST, "BAD_ARRAY", message);
    let needed =
        "an .npy file of uint8 and of shape (height, width, 3) or (pictures, height, width, 3), in C order, would work";
    let array = ArrayViewD::<u8>::view_npy(bytes).map_err(|error| bad(format!("{error}: {needed}")))?;
    let is_list = array.ndim() == 4;
    let array = if array.ndim() == 3 { array.insert_axis(Axis(0)) } else { array };
    let side = picture::MAX_SIDE as usize;
    let [count, height, width, 3] = *array.shape() else {
        return Err(bad(format!("the array's shape is {:?}: {needed}", array.shape())));
    };
    if count == 0 || !(1..=side).contains(&height) || !(1..=side).contains(&width) {
        return Err(bad(format!("the array's shape is {:?}: {needed}, of 1 to {side} pixels a side", array.shape())));
    }
    if count > MAX_PICTURES {
        return Err(bad(format!("the array has {count} pictures: at most {MAX_PICTURES} work")));
    }
    let Some(values) = array.as_slice() else { return Err(bad(format!("the array is in Fortran order: {needed}"))) };
    let picture = |values: &[u8]| {
        RgbImage::from_raw(width as u32, height as u32, values.to_vec()).expect("three values of every pixel")
    };
    Ok(Pictures { pictures: values.chunks_exact(height * width * 3).map(picture).collect(), is_list })
}

/// The answer: `{"pred_boxes", "scores", "pred_classes", "image_size"}` as Python writes it, or a list of these.
pub fn answer(pictures: &Pictures, found: &[Vec<Detection>]) -> Answer {
    let objects: Vec<String> =
        pictures.pictures.iter().zip(found).map(|(picture, found)| object(picture, found)).collect();
    let body = match &objects[..] {
        [object] if !pictures.is_list => object.clone(),
        objects => list(objects),
    };
    Answer { media_type: "application/json".to_owned(), custom_attributes: None, body: body.into_bytes() }
}

fn object(picture: &RgbImage, found: &[Detection]) -> String {
    let boxes: Vec<String> = found.iter().map(|found| list(&found.corners.map(number))).collect();
    let scores: Vec<String> = found.iter().map(|found| number(found.score)).collect();
    let classes: Vec<String> = found.iter().map(|found| found.class.to_string()).collect();
    let (width, height) = picture.dimensions();
    format!(
        "{{\"pred_boxes\": {}, \"scores\": {}, \"pred_classes\": {}, \"image_size\": [{height}, {width}]}}",
        list(&boxes),
        list(&scores),
        list(&classes)
    )
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.join(", "))
}

/// A number of 32 bits as Python writes it, which has numbers of 64 bits only.
fn number(value: f32) -> String {
    python::float(f64::from(value))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use ndarray_npy::WriteNpyExt;

    use super::*;

    fn of(content_type: &str, accept: &str) -> Result<Request, (u16, String)> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let head = Head { content_type: some(content_type), accept: some(accept), custom_attributes: None };
        request(&head).map_err(|refusal| (refusal.status.as_u16(), refusal.code.into_owned()))
    }

    #[test]
    fn heads_are_read() {
        assert_eq!(of("image/jpeg", "application/json"), Ok(Request::Picture));
        assert_eq!(of("application/x-npy", ""), Ok(Request::Npy));
        assert_eq!(of("text/csv", ""), Err((415, "UNSUPPORTED_TYPE".to_owned())));
        assert_eq!(of("image/jpeg", "text/csv"), Err((406, "NOT_ACCEPTABLE".to_owned())));
    }

    #[test]
    fn arrays_of_one_picture_and_of_several_are_read() {
        let mut one = Vec::new();
        Array3::from_shape_fn((2, 3, 3), |(y, x, channel)| (9 * y + 3 * x + channel) as u8)
            .write_npy(&mut one)
            .unwrap();
        let found = pictures(Request::Npy, &one).unwrap();
        assert!(!found.is_list);
        assert_eq!((found.pictures[0].dimensions(), found.pictures[0].get_pixel(1, 1).0), ((3, 2), [12, 13, 14]));
        let mut two = Vec::new();
        Array4::<u8>::zeros((2, 4, 5, 3)).write_npy(&mut two).unwrap();
        let found = pictures(Request::Npy, &two).unwrap();
        assert_eq!((found.is_list, found.pictures.len()), (true, 2));
        let mut bad = vec![b"hello".to_vec(), one[..one.len() - 1].to_vec()];
        for shape in [(1, 2, 2, 4), (0, 2, 2, 3), (1, 0, 2, 3)] {
            bad.push(Vec::new());
            Array4::<u8>::zeros(shape).write_npy(bad.last_mut().unwrap()).unwrap();
        }
        bad.push(Vec::new());
        ndarray::Array2::<u8>::zeros((3, 3)).write_npy(bad.last_mut().unwrap()).unwrap();
        for bytes in bad {
            let refusal = pictures(Request::Npy, &bytes).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "BAD_ARRAY"), "{refusal}");
        }
        assert_eq!(pictures(Request::Picture, b"hello").unwrap_err().status.as_u16(), 415);
    }

    #[test]
    fn answers_have_the_originals_form() {
        let picture = |is_list| Pictures { pictures: vec![RgbImage::new(4, 3)], is_list };
        let text =
            |is_list, found: Vec<Detection>| String::from_utf8(answer(&picture(is_list), &[found]).body).unwrap();
        let empty = r#"{"pred_boxes": [], "scores": [], "pred_classes": [], "image_size": [3, 4]}"#;
        assert_eq!(text(false, vec![]), empty);
        assert_eq!(text(true, vec![]), format!("[{empty}]"));
        let one = Detection { corners: [0.0, 0.1, 3.0, 3e-5], score: 0.5, class: 1 };
        let other = Detection { score: 0.25, class: 0, ..one };
        assert_eq!(
            text(false, vec![one, other]),
            "{\"pred_boxes\": [[0.0, 0.10000000149011612, 3.0, 2.9999999242136255e-05], [0.0, 0.10000000149011612, 3.0, \
             2.9999999242136255e-05]], \"scores\": [0.5, 0.25], \"pred_classes\": [1, 0], \"image_size\": [3, 4]}"
        );
    }
}
