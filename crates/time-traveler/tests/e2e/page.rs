//! The web page in Chromium, driven by Playwright from Node.js, with axe-core's accessibility rules.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ImageFormat, Rgb, RgbImage, imageops};

use crate::python::run;
use crate::support::{BINARY, encoded, picture, portrait, repository};

/// A folder with the tests and the packages of their `package-lock.json`, which are installed once.
fn installed() -> PathBuf {
    let source = repository().join("crates/time-traveler/tests/e2e/page");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["package.json", "package-lock.json", "page.test.mjs", "world.mjs"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let wanted = std::fs::read(source.join("package-lock.json")).unwrap();
    let done = folder.join("installed.json");
    if std::fs::read(&done).ok().as_ref() != Some(&wanted) {
        run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder));
        std::fs::write(done, wanted).unwrap();
    }
    folder
}

/// Writes the files that the tests send.
fn fixtures(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("portrait.png", &picture(1));
    write("other.png", &picture(2));
    write("notes.txt", b"hello");
    write("empty.jpg", b"");
    write("broken.png", &picture(3)[..5000]);
    let small = imageops::resize(&portrait(), 220, 220, imageops::FilterType::CatmullRom);
    write("small.png", &encoded(&small, ImageFormat::Png));
    write("wall.png", &encoded(&RgbImage::from_pixel(300, 200, Rgb([90, 90, 90])), ImageFormat::Png));

    // An enlarged picture with noise, which does not compress, has more than 10 MB.
    let mut large = imageops::resize(&portrait(), 2800, 2800, imageops::FilterType::Triangle);
    let mut state = 1_u32;
    for level in large.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *level = level.saturating_add((state >> 29) as u8);
    }
    let large = encoded(&large, ImageFormat::Png);
    assert!(large.len() > 10 << 20, "{} bytes", large.len());
    write("large.png", &large);

    // BMP is a format that browsers read and the pipeline does not. Its rows go from the bottom up, blue first.
    let face = portrait();
    let size = 54 + 3 * face.width() * face.height();
    let mut bmp = b"BM".to_vec();
    for number in [size, 0, 54, 40, face.width(), face.height(), 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bmp.extend(number.to_le_bytes());
    }
    for row in face.rows().rev() {
        bmp.extend(row.flat_map(|Rgb([red, green, blue])| [blue, green, red]));
    }
    assert_eq!(bmp.len(), size as usize);
    write("portrait.bmp", &bmp);

    // Formats that browsers read and the pipeline does not, made by `page/make_pictures.py`. The AVIF lies on its side.
    for name in ["portrait.avif", "portrait.gif", "portrait.heic"] {
        let file = repository().join("crates/time-traveler/tests/e2e/page").join(name);
        write(name, &std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }

    // The video of the fake camera.
    write("portrait.mjpeg", &encoded(&face, ImageFormat::Jpeg).repeat(3));
}

/// Checks the animation that the page made of two ages.
fn check_animation(file: &Path) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(std::fs::File::open(file).unwrap()).unwrap();
    assert_eq!((decoder.width(), decoder.height(), decoder.repeat()), (480, 480, gif::Repeat::Infinite));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        assert!(frame.buffer.chunks_exact(4).all(|pixel| pixel[3] == u8::MAX));
        frames.push((frame.delay, frame.buffer.to_vec()));
    }
    assert_eq!(frames.len(), 16);
    let held: Vec<usize> = (0..frames.len()).filter(|&n| frames[n].0 == 70).collect();
    assert_eq!(held, [0, 8], "the frames of the two ages are not the long ones");
    // Neighbouring frames differ by about their grain, the two ages by more.
    let away = |one: usize, other: usize| {
        let pairs = frames[one].1.iter().zip(&frames[other].1);
        pairs.map(|(one, other)| f64::from(one.abs_diff(*other))).sum::<f64>() / frames[one].1.len() as f64
    };
    assert!(away(0, 8) > 2.0 * away(0, 1), "{} {}", away(0, 8), away(0, 1));
    assert!(away(8, 15) > away(0, 15), "the last frame is not a step back to the first");
}

/// Checks the picture that the page made of the original and an age: they differ, and a line is between them.
fn check_before_and_after(file: &Path) {
    let picture = image::open(file).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (1080, 1080));
    let white = |x: u32| (0..900).filter(|&y| picture.get_pixel(x, y).0.iter().all(|&level| level > 225)).count();
    assert!(white(539) > 850, "{} rows of the line are white", white(539));
    assert!(white(300) < 300 && white(800) < 300, "{} {}", white(300), white(800));
    // Labels are white on dark, in both lower corners.
    for (left, right) in [(40, 200), (900, 1040)] {
        let levels: Vec<u8> = (left..right)
            .flat_map(|x| (980..1040).map(move |y| (x, y)))
            .map(|(x, y)| picture.get_pixel(x, y)[0])
            .collect();
        assert!(
            levels.iter().any(|&level| level > 230) && levels.iter().any(|&level| level < 110),
            "no label from {left}"
        );
    }
}

#[test]
fn the_page_works_in_a_browser() {
    let folder = installed();
    let made = tempfile::tempdir().unwrap();
    fixtures(made.path());
    let screenshots = folder.join("screenshots");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", "page.test.mjs"]).current_dir(&folder);
    node.env("BINARY", BINARY).env("FIXTURES", made.path()).env("SCREENSHOTS", &screenshots);
    node.env("CHROMIUM", std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned()));
    node.env("SITE", repository().join("crates/web/site"));
    run(&mut node);
    check_animation(&screenshots.join("animation.gif"));
    check_before_and_after(&screenshots.join("before-and-after.jpg"));
    println!("pictures of every state of the page: {}", screenshots.display());
}
