//! The example's pictures and its recording.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage, imageops};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The drawings that pictures are made from.
const DRAWINGS: [(&str, &str); 9] = [
    ("boat-painted", include_str!("../../assets/pictures/boat-painted.svg")),
    ("boat-shed", include_str!("../../assets/pictures/boat-shed.svg")),
    ("cake", include_str!("../../assets/pictures/cake.svg")),
    ("cat-window", include_str!("../../assets/pictures/cat-window.svg")),
    ("grandfather", include_str!("../../assets/pictures/grandfather.svg")),
    ("harbour-lane", include_str!("../../assets/pictures/harbour-lane.svg")),
    ("kittens", include_str!("../../assets/pictures/kittens.svg")),
    ("shopping-list", include_str!("../../assets/pictures/shopping-list.svg")),
    ("sunset", include_str!("../../assets/pictures/sunset.svg")),
];

const LONG_SIDE: f32 = 900.0;
const PICTURE_QUALITY: u8 = 60;
const THUMBNAIL_QUALITY: u8 = 40;
const THUMBNAIL_WIDTH: u32 = 100;

/// A picture as a chat app keeps it.
pub(super) struct Picture {
    pub(super) jpeg: Vec<u8>,
    pub(super) thumbnail: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// A recording as a chat app keeps it.
pub(super) struct Recording {
    pub(super) opus: &'static [u8],
    pub(super) seconds: i64,
    /// The loudness of 64 equal parts, 0 to 100.
    pub(super) waveform: [u8; 64],
}

/// The ukulele tune: `assets/ukulele.md` tells how it was made.
const UKULELE: Recording = Recording {
    opus: include_bytes!("../../assets/ukulele.opus"),
    seconds: 12,
    waveform: [
        100, 83, 86, 92, 78, 87, 63, 49, 85, 77, 85, 83, 91, 70, 69, 95, 86, 67, 96, 81, 97, 71, 51, 88, 74, 87, 66,
        56, 43, 76, 88, 85, 81, 100, 88, 90, 68, 65, 96, 79, 66, 89, 76, 60, 82, 66, 97, 80, 78, 81, 81, 62, 76, 75,
        88, 79, 61, 49, 41, 33, 20, 1, 0, 0,
    ],
};

/// Media that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The story names a picture or recording that is not there.
    #[error("there is no {0} among the example's media")]
    Unknown(String),
    /// A drawing is not valid.
    #[error("a drawing can't be read")]
    Drawing(#[from] resvg::usvg::Error),
    /// A picture can't be encoded.
    #[error("a picture can't be encoded")]
    Encoding(#[from] image::ImageError),
    /// A drawing has no size.
    #[error("the drawing {0} has no size")]
    NoSize(String),
}

/// Draws a picture.
pub(super) fn picture(name: &str) -> Result<Picture, MediaError> {
    let drawing = DRAWINGS.iter().find(|(known, _)| *known == name);
    let (_, drawing) = drawing.ok_or_else(|| MediaError::Unknown(name.to_owned()))?;
    let tree = Tree::from_str(drawing, &Options::default())?;
    let no_size = || MediaError::NoSize(name.to_owned());
    let scale = LONG_SIDE / tree.size().width().max(tree.size().height());
    let size = tree.size().to_int_size().scale_by(scale).ok_or_else(no_size)?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(no_size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    // The drawings cover the whole picture, so nothing is transparent and alpha can be dropped.
    let rgb = pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    let full = RgbImage::from_raw(size.width(), size.height(), rgb).ok_or_else(no_size)?;
    let small = imageops::thumbnail(&full, THUMBNAIL_WIDTH, THUMBNAIL_WIDTH * size.height() / size.width());
    Ok(Picture {
        jpeg: encode(&full, PICTURE_QUALITY)?,
        thumbnail: encode(&small, THUMBNAIL_QUALITY)?,
        width: size.width(),
        height: size.height(),
    })
}

/// Finds a recording.
pub(super) fn recording(name: &str) -> Result<Recording, MediaError> {
    match name {
        "ukulele" => Ok(UKULELE),
        _ => Err(MediaError::Unknown(name.to_owned())),
    }
}

fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, MediaError> {
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
    encoder.write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)?;
    Ok(jpeg)
}
