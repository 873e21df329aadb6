//! Operations on maps beside convolutions.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::{close, extents, numbers};
use crate::DeviceChoice;
use crate::kernels::{
    Concatenate, ExciteAdd, Extent, MapOp, Maps, MaxPool, NearestAdd, PadChannels, Place, RowSpan, Scratch,
    SqueezeExcitation, UpdateOp, UpsampleAdd, UpsampleMultiply, apply, data, update,
};
use crate::layers::Execution;

#[test]
fn the_largest_of_a_window() {
    for extent in extents() {
        let (channels, pool) = (17, MaxPool { side: 3, stride: 2 });
        // All values are below zero: those of a padding with zeros would be larger.
        let maps: Vec<f32> = numbers(extent.pixels() * channels, 1).into_iter().map(|value| value - 2.0).collect();
        let inputs = [Maps { values: &maps, extent, channels }];
        let (out_extent, _) = pool.shape(&inputs);
        assert_eq!((out_extent.height, out_extent.width), (extent.height.div_ceil(2), extent.width.div_ceil(2)));
        let mut out = vec![f32::NAN; out_extent.pixels() * channels];
        pool.forward(&inputs, &mut out);
        let mut expected = Vec::new();
        for pixel in 0..out_extent.pixels() {
            let (image, place) =
                (pixel / (out_extent.height * out_extent.width), pixel % (out_extent.height * out_extent.width));
            let (y, x) = (2 * (place / out_extent.width), 2 * (place % out_extent.width));
            for channel in 0..channels {
                let mut largest = f32::NEG_INFINITY;
                for row in y.saturating_sub(1)..(y + 2).min(extent.height) {
                    for column in x.saturating_sub(1)..(x + 2).min(extent.width) {
                        let value = maps[((image * extent.height + row) * extent.width + column) * channels + channel];
                        largest = largest.max(value);
                    }
                }
                expected.push(f64::from(largest));
            }
        }
        close(&out, &expected, 0.0, &format!("{extent:?}"));
    }
}

#[test]
fn the_nearest_pixel_is_added() {
    let (from, to) = (Extent { images: 2, height: 4, width: 5 }, Extent { images: 2, height: 7, width: 9 });
    let (maps, others) = (numbers(from.pixels() * 5, 1), numbers(to.pixels() * 5, 2));
    let mut out = others.clone();
    NearestAdd.update(Maps { values: &maps, extent: from, channels: 5 }, to, &mut out);
    let expected: Vec<f64> = (0..others.len())
        .map(|index| {
            let (pixel, channel) = (index / 5, index % 5);
            let (image, y, x) = (pixel / 63, pixel / 9 % 7, pixel % 9);
            let source = ((image * 4 + y / 2) * 5 + x / 2) * 5 + channel;
            f64::from(maps[source]) + f64::from(others[index])
        })
        .collect();
    close(&out, &expected, 1e-6, "nearest");
}

#[test]
fn maps_with_one_owner_are_added_to_in_their_memory() {
    let device = DeviceChoice::Cpu.find().unwrap().burn();
    let tensor = |values: &[f32]| {
        let mut scratch = Scratch::new(values.len());
        scratch.values_mut().copy_from_slice(values);
        let address = scratch.values().as_ptr();
        (Tensor::<4>::from_data(data(scratch, [1, 2, 2, 16]), &device), address)
    };
    let sums: Vec<f32> = (0..64).map(|value| value as f32).collect();
    let doubled: Vec<f32> = sums.iter().map(|value| 2.0 * value).collect();
    let is = |tensor: Tensor<4>, values: &[f32], address: *const f32| {
        let data = tensor.into_data();
        let found: &[f32] = data.as_slice().unwrap();
        assert_eq!(found, values);
        found.as_ptr() == address
    };
    let ((maps, _), (alone, address)) = (tensor(&sums), tensor(&sums));
    assert!(is(update(NearestAdd, maps.clone(), alone), &doubled, address), "its own memory");
    let (shared, address) = tensor(&sums);
    assert!(!is(update(NearestAdd, maps, shared.clone()), &doubled, address), "the memory of another owner");
    assert!(is(shared, &sums, address), "another owner's maps");
}

#[test]
fn rows_of_maps_are_maps() {
    let device = DeviceChoice::Cpu.find().unwrap().burn();
    // Of one image, the rows are one after the other in memory. Of two, they are not.
    for images in [1, 2] {
        let shape = [images, 5, 3, 16];
        let values = numbers(shape.iter().product(), 1);
        let maps = Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device);
        let row = |image: usize, y: usize| values[(image * 5 + y) * 48..][..48].iter().copied();
        let rows = |y: usize| (0..images).flat_map(|image| row(image, y).chain(row(image, y + 1))).collect::<Vec<_>>();
        let found = |maps: Tensor<4>| maps.into_data().try_into_vec::<f32>().unwrap();
        let part = |y: usize| maps.clone().narrow(1, y, 2);
        assert_eq!(found(apply(MaxPool { side: 1, stride: 1 }, part(2))), rows(2));
        let sums = rows(1).iter().zip(rows(3)).map(|(one, other)| one + other).collect::<Vec<_>>();
        assert_eq!(found(update(NearestAdd, part(1), part(3))), sums);
        let mut expected = values.clone();
        for image in 0..images {
            let (from, to) = (image * 240..image * 240 + 96, image * 240 + 144);
            expected.copy_within(from, to);
        }
        assert_eq!(found(update(Place(3), part(0), maps.clone())), expected);
        assert_eq!(found(maps), values, "another owner's maps");
    }
}

#[test]
fn strips_become_maps() {
    let device = DeviceChoice::Cpu.find().unwrap().burn();
    for execution in [Execution::Burn, Execution::Kernels] {
        let values = numbers(2 * 5 * 3 * 16, 1);
        let maps = Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 5, 3, 16]), &device);
        let maps = execution.arrange(maps);
        for cuts in [vec![0, 5], vec![0, 2, 3, 5]] {
            let parts = cuts.windows(2).map(|cut| execution.rows(maps.clone(), cut[0]..cut[1]));
            let stacked = execution.channels_innermost(execution.stacked(parts, 5));
            assert_eq!(stacked.into_data().try_into_vec::<f32>().unwrap(), values, "{execution:?}, {cuts:?}");
        }
    }
}

#[test]
fn channels_are_one_after_the_other() {
    let extent = Extent { images: 2, height: 3, width: 5 };
    let channels = [32, 5, 16];
    let values = [0, 1, 2].map(|index| numbers(extent.pixels() * channels[index], index as u32));
    let inputs = [0, 1, 2].map(|index| Maps { values: &values[index], extent, channels: channels[index] });
    assert_eq!(Concatenate.shape(&inputs), (extent, 53));
    let mut out = vec![f32::NAN; extent.pixels() * 53];
    Concatenate.forward(&inputs, &mut out);
    let expected: Vec<f32> = (0..extent.pixels())
        .flat_map(|pixel| [0, 1, 2].map(|index| &values[index][pixel * channels[index]..][..channels[index]]).concat())
        .collect();
    assert_eq!(out, expected);
}

#[test]
fn upsampled_maps_are_multiplied() {
    let (from, to) = (Extent { images: 1, height: 3, width: 4 }, Extent { images: 1, height: 5, width: 7 });
    let (maps, others) = (numbers(from.pixels() * 16, 1), numbers(to.pixels() * 16, 2));
    let maps = Maps { values: &maps, extent: from, channels: 16 };
    let mut upsampled = vec![0.0; others.len()];
    UpsampleAdd.update(maps, to, &mut upsampled);
    let expected = upsampled.into_iter().zip(&others);
    let expected: Vec<f64> = expected.map(|(value, other)| f64::from(value) * f64::from(*other)).collect();
    // The first two rows, and the others.
    let (row, height) = (to.width * 16, to.height);
    let mut products = others;
    for (first, products) in [0, 2].into_iter().zip(<[_; 2]>::from(products.split_at_mut(2 * row))) {
        let extent = Extent { height: products.len() / row, ..to };
        UpsampleMultiply(RowSpan { first, height }).update(maps, extent, products);
    }
    close(&products, &expected, 1e-6, "the product");
}

#[test]
fn excite_weighs_channels_and_adds_every_other_pixel() {
    for stride in [1, 2] {
        let (extent, channels, squeezed) = (Extent { images: 2, height: 3, width: 5 }, 32, 2);
        let other_extent = Extent { images: 2, height: 3 * stride, width: 5 * stride };
        let (maps, others) = (numbers(extent.pixels() * channels, 1), numbers(other_extent.pixels() * channels, 2));
        let (fc1, fc2) = (numbers(squeezed * channels, 3), numbers(channels * squeezed, 4));
        let mut out = vec![f32::NAN; maps.len()];
        let layers = Arc::new(SqueezeExcitation::new(channels, fc1.clone(), fc2.clone()));
        let inputs =
            [Maps { values: &maps, extent, channels }, Maps { values: &others, extent: other_extent, channels }];
        ExciteAdd { layers, stride }.forward(&inputs, &mut out);

        let mut expected = Vec::new();
        for (image, maps) in maps.chunks_exact(15 * channels).enumerate() {
            let mean =
                |channel: usize| maps[channel..].iter().step_by(channels).map(|v| f64::from(*v)).sum::<f64>() / 15.0;
            let unit = |unit: usize| {
                (0..channels).map(|c| f64::from(fc1[unit * channels + c]) * mean(c)).sum::<f64>().max(0.0)
            };
            let units: Vec<f64> = (0..squeezed).map(unit).collect();
            for pixel in 0..15 {
                for channel in 0..channels {
                    let sum: f64 = (0..squeezed).map(|u| f64::from(fc2[channel * squeezed + u]) * units[u]).sum();
                    let (y, x) = (pixel / 5 * stride, pixel % 5 * stride);
                    let other = ((image * 3 * stride + y) * 5 * stride + x) * channels + channel;
                    let value = f64::from(maps[pixel * channels + channel]) / (1.0 + (-sum).exp());
                    expected.push(value + f64::from(others[other]));
                }
            }
        }
        close(&out, &expected, 1e-5, &format!("stride {stride}"));
    }
}

#[test]
fn padded_channels_are_zero() {
    let (extent, values) = (Extent { images: 2, height: 3, width: 5 }, numbers(30 * 3, 1));
    let inputs = [Maps { values: &values, extent, channels: 3 }];
    assert_eq!(PadChannels(16).shape(&inputs), (extent, 16));
    let mut out = vec![f32::NAN; 30 * 16];
    PadChannels(16).forward(&inputs, &mut out);
    for (out, values) in out.chunks_exact(16).zip(values.chunks_exact(3)) {
        assert!(out[..3] == *values && out[3..] == [0.0; 13]);
    }
}

#[test]
fn upsampling_keeps_the_corners() {
    let (from, to) = (Extent { images: 2, height: 2, width: 3 }, Extent { images: 2, height: 4, width: 5 });
    let (maps, others) = (numbers(from.pixels() * 16, 1), numbers(to.pixels() * 16, 2));
    let mut out = others.clone();
    UpsampleAdd.update(Maps { values: &maps, extent: from, channels: 16 }, to, &mut out);
    let value =
        |image: usize, y: usize, x: usize, channel: usize| f64::from(maps[((image * 2 + y) * 3 + x) * 16 + channel]);
    let mut expected = Vec::new();
    for pixel in 0..to.pixels() {
        let (image, y, x) = (pixel / 20, pixel / 5 % 4, pixel % 5);
        let (down, across) = (y as f64 / 3.0, x as f64 / 2.0);
        let (left, right) = (across.floor() as usize, (across.floor() as usize + 1).min(2));
        for channel in 0..16 {
            let row = |y| {
                let share = across.fract();
                value(image, y, left, channel) * (1.0 - share) + value(image, y, right, channel) * share
            };
            let upsampled = row(0) * (1.0 - down) + row(1) * down;
            expected.push(upsampled + f64::from(others[pixel * 16 + channel]));
        }
    }
    close(&out, &expected, 1e-5, "upsampled");
}
