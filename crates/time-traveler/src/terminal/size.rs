//! The size of the terminal on stdout.

/// The size where the terminal reports none.
const COLUMNS: u32 = 80;
const ROWS: u32 = 24;
/// Width and height of a character cell in pixels where the terminal does not report them.
const CELL: (u32, u32) = (10, 20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Width and height of a character cell in pixels.
    pub(crate) cell: (u32, u32),
}

impl Size {
    /// Of the terminal on stdout. Missing figures are replaced by common ones.
    pub(crate) fn of_stdout() -> Self {
        let (columns, rows, width, height) = reported();
        let columns = if columns > 0 { columns } else { COLUMNS };
        let cell = (width / columns, height.checked_div(rows).unwrap_or(0));
        Self {
            columns,
            rows: if rows > 0 { rows } else { ROWS },
            cell: if cell.0 > 0 && cell.1 > 0 { cell } else { CELL },
        }
    }
}

/// Columns, rows, width and height in pixels; 0 where a figure is unknown.
#[cfg(unix)]
fn reported() -> (u32, u32, u32, u32) {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or((0, 0, 0, 0), |size| {
        (size.ws_col.into(), size.ws_row.into(), size.ws_xpixel.into(), size.ws_ypixel.into())
    })
}

#[cfg(not(unix))]
fn reported() -> (u32, u32, u32, u32) {
    (0, 0, 0, 0)
}
