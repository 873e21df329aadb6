//! Operations on maps beside convolutions.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{close, extents, numbers};
use crate::DeviceChoice;
use crate::kernels::{
    AddOp, Concatenate, ExciteAdd, Extent, MapOp, Maps, MaxPool, NearestAdd, PadChannels, Scratch, SqueezeExcitation,
    UpsampleAdd, UpsampleMultiply, add, data,
};

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
    NearestAdd.add(Maps { values: &maps, extent: from, channels: 5 }, to, &mut out);
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
    assert!(is(add(NearestAdd, maps.clone(), alone), &doubled, address), "its own memory");
    let (shared, address) = tensor(&sums);
    assert!(!is(add(NearestAdd, maps, shared.clone()), &doubled, address), "the memory of another owner");
    assert!(is(shared, &sums, address), "another owner's maps");
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
    let zeros = vec![0.0; others.len()];
    let upsampled = |others: &[f32], op: &dyn MapOp| {
        let mut out = vec![f32::NAN; others.len()];
        let inputs =
            [Maps { values: &maps, extent: from, channels: 16 }, Maps { values: others, extent: to, channels: 16 }];
        op.forward(&inputs, &mut out);
        out
    };
    let expected = upsampled(&zeros, &UpsampleAdd).into_iter().zip(&others);
    let expected: Vec<f64> = expected.map(|(value, other)| f64::from(value) * f64::from(*other)).collect();
    close(&upsampled(&others, &UpsampleMultiply), &expected, 1e-6, "the product");
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
    let mut out = vec![f32::NAN; others.len()];
    let inputs =
        [Maps { values: &maps, extent: from, channels: 16 }, Maps { values: &others, extent: to, channels: 16 }];
    UpsampleAdd.forward(&inputs, &mut out);
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
