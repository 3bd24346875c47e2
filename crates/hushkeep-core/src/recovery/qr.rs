//! A QR code made of half blocks, for a terminal.

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// Modules of quiet zone on each side (ISO/IEC 18004).
const QUIET: usize = 4;

/// Renders upper-case digits. Light modules are drawn and dark ones left blank: right on a dark terminal.
#[expect(clippy::expect_used, reason = "72 alphanumeric characters fit a code of version 4, and 40 is the largest")]
pub(super) fn render(digits: &str) -> Zeroizing<String> {
    let code = QrCode::with_error_correction_level(digits, EcLevel::M).expect("72 digits fit");
    let side = code.width() + 2 * QUIET;
    let mut image = Zeroizing::new(String::with_capacity(side.div_ceil(2) * (side * '█'.len_utf8() + 1)));
    for y in (0..side).step_by(2) {
        for x in 0..side {
            image.push(match (is_light(&code, x, y), is_light(&code, x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        image.push('\n');
    }
    image
}

/// Whether a module is light, counted with the quiet zone, which goes on beyond the last row.
fn is_light(code: &QrCode, x: usize, y: usize) -> bool {
    match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < code.width() && y < code.width() => code[(x, y)] == Color::Light,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF01234567";

    /// The modules as a scanner sees them: `true` is dark.
    fn modules(image: &str) -> Vec<Vec<bool>> {
        let dark = |line: &str, light: &[char]| line.chars().map(|c| !light.contains(&c)).collect();
        image.lines().flat_map(|line| [dark(line, &['█', '▀']), dark(line, &['█', '▄'])]).collect()
    }

    #[test]
    fn a_scanner_reads_the_digits_back() {
        let modules = modules(&render(DIGITS));
        let (scale, width, height) = (3, modules[0].len(), modules.len());
        let mut photo = rqrr::PreparedImage::prepare_from_bitmap(scale * width, scale * height, |x, y| {
            modules[y / scale][x / scale]
        });
        let grids = photo.detect_grids();
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0].decode().unwrap().1, DIGITS);
    }

    #[test]
    fn it_fits_a_terminal_and_keeps_its_quiet_zone() {
        let image = render(DIGITS);
        assert!(image.lines().count() < 24 && image.lines().all(|line| line.chars().count() == 41));
        let modules = modules(&image);
        let light = |row: &[bool]| row.iter().all(|dark| !dark);
        assert!(modules[..QUIET].iter().all(|row| light(row)) && modules[37..].iter().all(|row| light(row)));
        assert!(modules.iter().all(|row| light(&row[..QUIET]) && light(&row[37..])));
    }
}
