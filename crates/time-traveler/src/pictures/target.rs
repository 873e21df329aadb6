//! The file that a picture is written to, where the user names it.

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use picture::RgbImage;

use crate::escape::Shown;

/// The quality of a JPEG.
const JPEG_QUALITY: u8 = 92;

/// The format that a file's name asks for; `None` if it cannot be written.
pub(crate) fn format(file: &Path) -> Option<ImageFormat> {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    ImageFormat::from_path(file).ok().filter(|format| formats.contains(format))
}

/// The picture in the format that the file's name asks for.
///
/// # Errors
/// Where the name asks for another format, or the picture cannot be encoded.
pub(crate) fn encoded(picture: &RgbImage, file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match format(file) {
        Some(ImageFormat::Jpeg) => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?,
        Some(format) => picture.write_to(&mut bytes, format)?,
        None => bail!("{} is no .png, .jpg or .webp", file.shown()),
    }
    Ok(bytes.into_inner())
}

/// Checks that no file which `option` asks for is one of the photos.
///
/// # Errors
/// Where a photo would be replaced, also by way of a link.
pub(crate) fn check_photos_stay(photos: &[PathBuf], files: &[PathBuf], option: &str) -> anyhow::Result<()> {
    // A file that does not exist yet has no such path, and replaces nothing.
    let photos: HashSet<PathBuf> = photos.iter().filter_map(|photo| photo.canonicalize().ok()).collect();
    for file in files {
        ensure!(
            !file.canonicalize().is_ok_and(|file| photos.contains(&file)),
            "{option} would replace the photo {}: another file or folder would work",
            file.shown()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        let picture = RgbImage::new(4, 3);
        for (name, found) in [("a.PNG", ImageFormat::Png), ("a.jpeg", ImageFormat::Jpeg), ("a.webp", ImageFormat::WebP)]
        {
            let bytes = encoded(&picture, Path::new(name)).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), found, "{name}");
        }
        assert_eq!(format(Path::new("a.gif")), None);
        let error = encoded(&picture, Path::new("a.gif")).unwrap_err().to_string();
        assert_eq!(error, "a.gif is no .png, .jpg or .webp");
    }

    #[test]
    fn a_photo_is_known_under_every_path() {
        let folder = tempfile::tempdir().unwrap();
        let [photo, other] = ["photo.jpg", "other.jpg"].map(|name| folder.path().join(name));
        std::fs::write(&photo, "photo").unwrap();
        let check = |file: PathBuf| check_photos_stay(std::slice::from_ref(&photo), &[other.clone(), file], "--draw");
        check(folder.path().join("drawn.jpg")).unwrap();
        std::fs::create_dir(folder.path().join("drawn")).unwrap();
        let error = check(folder.path().join("drawn/../photo.jpg")).unwrap_err().to_string();
        assert!(error.starts_with("--draw would replace the photo ") && error.contains("another file"), "{error}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&photo, folder.path().join("link.jpg")).unwrap();
            assert!(check(folder.path().join("link.jpg")).is_err());
        }
    }
}
