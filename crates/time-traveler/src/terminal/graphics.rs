//! Pictures in terminals: three graphics protocols, and characters.

use std::io::{self, Cursor, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use image::{ImageFormat, Rgb, RgbImage};

use super::size::Size;
use crate::pictures::palette::Palette;

/// Bytes of base64 in one command of kitty's protocol, at most.
const KITTY_CHUNK: usize = 4096;
/// By default, xterm cuts off wider pictures.
const SIXEL_WIDTH: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Graphics {
    /// Kitty's protocol, <https://sw.kovidgoyal.net/kitty/graphics-protocol>, with a PNG.
    Kitty,
    /// iTerm2's protocol, <https://iterm2.com/documentation-images.html>, with a PNG.
    Iterm2,
    /// DEC's protocol, since the VT240: columns of six pixels for each colour.
    Sixel,
    /// Half-block characters of two pixels.
    Blocks,
}

impl Graphics {
    /// Width and height in pixels of the largest picture that fits above the prompt.
    pub(crate) fn pixels(self, size: Size) -> (u32, u32) {
        let rows = size.rows.saturating_sub(2).max(1);
        match self {
            Self::Blocks => (size.columns, 2 * rows),
            Self::Sixel => ((size.columns * size.cell.0).min(SIXEL_WIDTH), rows * size.cell.1),
            Self::Kitty | Self::Iterm2 => (size.columns * size.cell.0, rows * size.cell.1),
        }
    }

    /// Draws a picture at the cursor, and moves the cursor to the beginning of the line below.
    pub(crate) fn draw(self, out: &mut impl Write, picture: &RgbImage, size: Size) -> io::Result<()> {
        // A cell's size may be a guess; the width in columns holds in any case.
        let columns = picture.width().div_ceil(size.cell.0).min(size.columns);
        match self {
            Self::Kitty => kitty(out, picture, columns)?,
            Self::Iterm2 => iterm2(out, picture, columns)?,
            Self::Sixel => sixel(out, picture)?,
            Self::Blocks => return blocks(out, picture, has_true_colour(|name| std::env::var(name).ok())),
        }
        writeln!(out)
    }
}

fn png(picture: &RgbImage) -> io::Result<String> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(BASE64_STANDARD.encode(file.into_inner()))
}

fn kitty(out: &mut impl Write, picture: &RgbImage, columns: u32) -> io::Result<()> {
    let file = png(picture)?;
    let mut chunks = file.as_bytes().chunks(KITTY_CHUNK).peekable();
    // q=2: the terminal sends no answer, which would appear as input of the shell.
    let mut keys = format!("a=T,f=100,q=2,c={columns},");
    while let Some(chunk) = chunks.next() {
        write!(out, "\x1b_G{keys}m={};", u8::from(chunks.peek().is_some()))?;
        out.write_all(chunk)?;
        write!(out, "\x1b\\")?;
        keys.clear();
    }
    Ok(())
}

fn iterm2(out: &mut impl Write, picture: &RgbImage, columns: u32) -> io::Result<()> {
    let file = png(picture)?;
    write!(out, "\x1b]1337;File=inline=1;width={columns};preserveAspectRatio=1:{file}\x07")
}

fn sixel(out: &mut impl Write, picture: &RgbImage) -> io::Result<()> {
    let palette = Palette::of(std::slice::from_ref(picture));
    let (width, height) = picture.dimensions();
    // Square pixels (1:1), and an unchanged background (P2 = 1).
    write!(out, "\x1bP0;1q\"1;1;{width};{height}")?;
    for (number, colour) in palette.colours().iter().enumerate() {
        let [red, green, blue] = colour.map(|level| (u32::from(level) * 100 + 127) / 255);
        write!(out, "#{number};2;{red};{green};{blue}")?;
    }
    let rows: Vec<&[[u8; 3]]> = picture.chunks_exact(3 * width as usize).map(|row| row.as_chunks().0).collect();
    for (band, rows) in rows.chunks(6).enumerate() {
        // For each colour in the band, its pixels in each column, as six bits.
        let mut columns = vec![Vec::new(); palette.colours().len()];
        for (line, row) in rows.iter().enumerate() {
            for (x, &pixel) in row.iter().enumerate() {
                let bits: &mut Vec<u8> = &mut columns[usize::from(palette.index(pixel, x, 6 * band + line))];
                bits.resize(width as usize, 0);
                bits[x] |= 1 << line;
            }
        }
        for (number, columns) in columns.iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
            write!(out, "#{number}")?;
            for run in columns.chunk_by(|one, other| one == other) {
                let sixel = char::from(b'?' + run[0]);
                match run.len() {
                    count @ 1..=3 => (0..count).try_for_each(|_| write!(out, "{sixel}"))?,
                    count => write!(out, "!{count}{sixel}")?,
                }
            }
            // Returns to the band's beginning.
            write!(out, "$")?;
        }
        write!(out, "-")?;
    }
    write!(out, "\x1b\\")
}

/// Whether the terminal shows colours of 24 bits, and not only 256.
fn has_true_colour(variable: impl Fn(&str) -> Option<String>) -> bool {
    matches!(variable("COLORTERM").as_deref(), Some("truecolor" | "24bit"))
}

fn blocks(out: &mut impl Write, picture: &RgbImage, true_colour: bool) -> io::Result<()> {
    let colour = |Rgb([red, green, blue]): Rgb<u8>| {
        if true_colour { format!("2;{red};{green};{blue}") } else { format!("5;{}", of_256([red, green, blue])) }
    };
    for y in (0..picture.height()).step_by(2) {
        let mut before = (String::new(), String::new());
        for x in 0..picture.width() {
            let upper = colour(*picture.get_pixel(x, y));
            // An odd last row has the terminal's background below it.
            let lower = picture.get_pixel_checked(x, y + 1).map_or_else(String::new, |pixel| colour(*pixel));
            if before.0 != upper {
                write!(out, "\x1b[38;{upper}m")?;
            }
            if before.1 != lower {
                write!(out, "\x1b[48;{lower}m")?;
            }
            write!(out, "▀")?;
            before = (upper, lower);
        }
        writeln!(out, "\x1b[0m")?;
    }
    Ok(())
}

/// The nearest of xterm's 256 colours: a cube of 6 x 6 x 6 from 16, greys from 232.
fn of_256(colour: [u8; 3]) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |one: u8, other: u8| i32::from(one.abs_diff(other)).pow(2);
    let steps = colour.map(|level| (0..6).min_by_key(|&step| distance(level, STEPS[step])).unwrap_or(0));
    let mean = colour.into_iter().map(u16::from).sum::<u16>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    let from_cube: i32 = (0..3).map(|channel| distance(colour[channel], STEPS[steps[channel]])).sum();
    let from_grey: i32 = colour.into_iter().map(|level| distance(level, 8 + 10 * grey)).sum();
    if from_grey < from_cube {
        232 + grey
    } else {
        16 + steps.into_iter().fold(0, |number, step| 6 * number + step as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 80, rows: 24, cell: (10, 20) };

    fn text(graphics: Graphics, picture: &RgbImage) -> String {
        let mut out = Vec::new();
        graphics.draw(&mut out, picture, SIZE).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Noise, which does not compress.
    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1u32;
        RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        })
    }

    fn decoded(base64: &str) -> RgbImage {
        image::load_from_memory(&BASE64_STANDARD.decode(base64).unwrap()).unwrap().into_rgb8()
    }

    #[test]
    fn kitty_gets_the_picture_in_chunks() {
        let picture = noise(95, 60);
        let text = text(Graphics::Kitty, &picture);
        let commands: Vec<&str> = text.strip_suffix('\n').unwrap().split_terminator("\x1b\\").collect();
        assert!(commands.len() > 3);
        let mut file = String::new();
        for (number, command) in commands.iter().enumerate() {
            let (keys, payload) = command.strip_prefix("\x1b_G").unwrap().split_once(';').unwrap();
            let more = u8::from(number + 1 < commands.len());
            let expected = if number == 0 { format!("a=T,f=100,q=2,c=10,m={more}") } else { format!("m={more}") };
            assert_eq!(keys, expected);
            assert!(payload.len() <= 4096 && (more == 0 || payload.len().is_multiple_of(4)));
            file.push_str(payload);
        }
        assert_eq!(decoded(&file), picture);
    }

    #[test]
    fn iterm2_gets_a_file() {
        let picture = noise(33, 20);
        let text = text(Graphics::Iterm2, &picture);
        let (keys, file) = text.strip_suffix("\x07\n").unwrap().split_once(':').unwrap();
        assert_eq!(keys, "\x1b]1337;File=inline=1;width=4;preserveAspectRatio=1");
        assert_eq!(decoded(file), picture);
    }

    /// Draws sixels as a terminal does: width, height, and the colour of each pixel in percent.
    fn drawn(sixels: &str) -> (usize, usize, Vec<[u32; 3]>) {
        let data = sixels.strip_prefix("\x1bP0;1q\"1;1;").unwrap().strip_suffix("\x1b\\\n").unwrap();
        let number = |at: &mut usize| {
            let digits =
                data[*at..].len() - data[*at..].trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
            *at += digits;
            data[*at - digits..*at].parse::<usize>().unwrap()
        };
        let mut at = 0;
        let width = number(&mut at);
        at += 1;
        let height = number(&mut at);
        let mut pixels = vec![[u32::MAX; 3]; width * height];
        let mut colours = vec![[0; 3]; 256];
        let (mut x, mut y, mut chosen, mut count) = (0, 0, 0, 1);
        while at < data.len() {
            at += 1;
            match data.as_bytes()[at - 1] {
                b'#' => {
                    chosen = number(&mut at);
                    if data[at..].starts_with(";2;") {
                        at += 2;
                        colours[chosen] = [0; 3].map(|_: u32| {
                            at += 1;
                            number(&mut at) as u32
                        });
                    }
                }
                b'!' => count = number(&mut at),
                b'$' => x = 0,
                b'-' => (x, y) = (0, y + 6),
                sixel => {
                    for column in x..x + count {
                        for line in (0..6).filter(|line| (sixel - b'?') >> line & 1 == 1) {
                            pixels[(y + line) * width + column] = colours[chosen];
                        }
                    }
                    (x, count) = (x + count, 1);
                }
            }
        }
        (width, height, pixels)
    }

    #[test]
    fn sixels_cover_every_pixel() {
        // Smooth, and not a whole number of bands high.
        let picture = RgbImage::from_fn(70, 40, |x, y| Rgb([(3 * x) as u8, (5 * y) as u8, 60]));
        let (width, height, pixels) = drawn(&text(Graphics::Sixel, &picture));
        assert_eq!((width, height), (70, 40));
        for (pixel, shown) in picture.pixels().zip(pixels) {
            for channel in 0..3 {
                let difference = (u32::from(pixel[channel]) * 100 / 255).abs_diff(shown[channel]);
                assert!(difference <= 12, "{pixel:?} is shown as {shown:?}");
            }
        }
    }

    #[test]
    fn blocks_are_two_pixels_each() {
        let colours = [[250, 0, 0], [0, 250, 0], [0, 0, 250], [0, 0, 250], [9, 9, 9], [9, 9, 9]];
        let picture = RgbImage::from_fn(2, 3, |x, y| Rgb(colours[(2 * y + x) as usize]));
        let mut out = Vec::new();
        blocks(&mut out, &picture, true).unwrap();
        let expected = "\x1b[38;2;250;0;0m\x1b[48;2;0;0;250m▀\x1b[38;2;0;250;0m▀\x1b[0m\n\x1b[38;2;9;9;9m▀▀\x1b[0m\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        blocks(&mut out, &picture, false).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("\x1b[38;5;196m\x1b[48;5;21m▀"));
    }

    #[test]
    fn colours_of_256_are_the_nearest() {
        assert_eq!([[0, 0, 0], [255, 255, 255], [95, 135, 175], [128, 128, 128]].map(of_256), [16, 231, 67, 244]);
        assert_eq!(of_256([238, 238, 238]), 255);
    }

    #[test]
    fn true_colour_follows_the_environment() {
        assert!(has_true_colour(|name| (name == "COLORTERM").then(|| "truecolor".into())));
        assert!(!has_true_colour(|_| None));
    }

    #[test]
    fn a_picture_is_no_larger_than_the_terminal() {
        assert_eq!(Graphics::Blocks.pixels(SIZE), (80, 44));
        assert_eq!(Graphics::Kitty.pixels(SIZE), (800, 440));
        assert_eq!(Graphics::Sixel.pixels(Size { columns: 200, ..SIZE }), (1000, 440));
    }
}
