//! The kernels against Burn's operations, forward and backward.

use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, TensorData};

use super::*;
use crate::device::Device;
use crate::kernels::{MaxPool, Padding};
use crate::random::Random;

/// Numbers of -1 to 1.
fn made_up<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut random = Random::new(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.between(-1.0, 1.0) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::Cpu.burn())
}

fn leaf<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    tensor.clone().autodiff().require_grad()
}

#[track_caller]
fn close<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let largest = expected.clone().abs().max().into_scalar::<f32>().max(1e-3);
    let difference = (found - expected).abs().max().into_scalar::<f32>();
    assert!(difference <= 2e-5 * largest, "{what}: {difference:e} of {largest}");
}

/// Sums an output with weights, so that its gradient differs from element to element.
fn weighed(out: Tensor<4>) -> Tensor<1> {
    let weights = made_up(9, out.dims());
    (out * weights.autodiff()).sum()
}

fn nchw(maps: Tensor<4>) -> Tensor<4> {
    maps.permute([0, 3, 1, 2])
}

fn nhwc(maps: Tensor<4>) -> Tensor<4> {
    maps.permute([0, 2, 3, 1])
}

fn compare_convolution([images, height, width]: [usize; 3], [inputs, outputs]: [usize; 2], side: usize, stride: usize) {
    let form = Form { inputs, side, stride, padding: Padding::Centred, dilation: 1, depthwise: false };
    compare(form, [images, height, width], outputs);
}

fn compare(form: Form, [images, height, width]: [usize; 3], outputs: usize) {
    let Form { inputs, side, .. } = form;
    let what = format!("{form:?} of {images}@{height}x{width} to {outputs}");
    let maps = made_up(1, [images, height, width, inputs]);
    let weight = made_up(2, [outputs, if form.depthwise { 1 } else { inputs }, side, side]);
    let (own_maps, own_weight) = (leaf(&maps), leaf(&weight));
    let own = convolve(own_maps.clone(), own_weight.clone(), form);
    let (burn_maps, burn_weight) = (leaf(&maps), leaf(&weight));
    let burn = nhwc(with_operations(nchw(burn_maps.clone()), burn_weight.clone(), form));
    close(&what, own.clone().inner(), burn.clone().inner());
    let (own, burn) = (weighed(own).backward(), weighed(burn).backward());
    close(&format!("{what}: maps"), own_maps.grad(&own).unwrap(), burn_maps.grad(&burn).unwrap());
    close(&format!("{what}: weight"), own_weight.grad(&own).unwrap(), burn_weight.grad(&burn).unwrap());
}

#[test]
fn convolutions_equal_those_of_burn() {
    for (extent, channels, side, stride) in [
        ([2, 9, 7], [16, 32], 3, 1),
        ([3, 8, 8], [32, 16], 3, 2),
        ([2, 7, 9], [16, 16], 3, 2),
        ([1, 40, 40], [16, 32], 3, 1),
        ([2, 12, 10], [3, 16], 7, 2),
        ([2, 6, 6], [32, 48], 1, 1),
        ([2, 7, 6], [32, 16], 1, 2),
        ([2, 5, 5], [6, 5], 3, 1),
        ([2, 3, 3], [16, 80], 3, 1),
        ([5, 2, 2], [48, 144], 3, 1),
    ] {
        compare_convolution(extent, channels, side, stride);
    }
}

#[test]
fn padding_of_tensorflow_equals_that_of_burn() {
    for (extent, channels, side) in
        [([2, 8, 9], [3, 32], 3), ([2, 9, 8], [32, 16], 3), ([1, 10, 1], [16, 24], 3), ([2, 7, 12], [16, 16], 5)]
    {
        let [inputs, outputs] = channels;
        let form = Form { inputs, side, stride: 2, padding: Padding::Same, dilation: 1, depthwise: false };
        compare(form, extent, outputs);
    }
}

#[test]
fn depthwise_convolutions_equal_those_of_burn() {
    for (extent, channels, side) in
        [([2, 9, 7], 24, 3), ([3, 8, 8], 37, 3), ([2, 7, 9], 40, 5), ([1, 40, 3], 16, 3), ([2, 1, 2], 8, 5)]
    {
        for (stride, padding) in [(1, Padding::Centred), (2, Padding::Centred), (2, Padding::Same)] {
            compare(Form { inputs: channels, side, stride, padding, dilation: 1, depthwise: true }, extent, channels);
        }
    }
}

#[test]
fn large_weights_are_shared_among_tasks_of_panels() {
    compare_convolution([2, 4, 4], [256, 256], 3, 2);
}

#[test]
fn a_frozen_convolution_passes_the_gradient_of_its_input() {
    let form = Form { inputs: 16, side: 3, stride: 1, padding: Padding::Centred, dilation: 1, depthwise: false };
    let (maps, weight) = (leaf(&made_up(1, [1, 4, 4, 16])), made_up(2, [16, 16, 3, 3]));
    let gradients = weighed(convolve(maps.clone(), weight.clone().autodiff(), form)).backward();
    assert!(maps.grad(&gradients).is_some());
    let constant = convolve(made_up(1, [1, 4, 4, 16]).autodiff(), weight.autodiff(), form);
    assert_eq!(constant.dims(), [1, 4, 4, 16]);
}

/// With Burn's operations.
fn normalized(
    maps: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    others: Option<Tensor<4>>,
    Activation { slope, ceiling }: Activation,
) -> Tensor<4> {
    let channels = maps.dims()[3];
    let mean = maps.clone().mean_dims(&[0, 1, 2]);
    let difference = maps - mean;
    let variance = difference.clone().square().mean_dims(&[0, 1, 2]);
    let of_maps = |tensor: Tensor<1>| tensor.reshape([1, 1, 1, channels]);
    let maps = difference / (variance + 1e-5).sqrt() * of_maps(weight) + of_maps(bias);
    let maps = others.map_or(maps.clone(), |others| maps + others);
    let maps = maps.clone().clamp_min(0.0) + maps.clamp_max(0.0) * slope;
    maps.clamp_max(ceiling)
}

#[test]
fn normalizations_equal_those_of_burn() {
    let shape = [3, 11, 13, 24];
    let low = Activation { slope: 0.0, ceiling: 0.5 };
    for (with_others, activation) in [
        (false, Activation::NONE),
        (false, Activation::leaky(0.0)),
        (false, low),
        (true, Activation::leaky(0.0)),
        (true, Activation::leaky(0.1)),
        (true, Activation::NONE),
        (true, low),
    ] {
        let what = format!("others {with_others}, {activation:?}");
        let (maps, others) = (made_up(1, shape) * 3.0 + 2.0, made_up(2, shape));
        let (weight, bias) = (made_up(3, [24]), made_up(4, [24]));
        let leaves = || (leaf(&maps), leaf(&weight), leaf(&bias), with_others.then(|| leaf(&others)));
        let (own, burn) = (leaves(), leaves());
        let found = normalize(own.0.clone(), own.1.clone(), own.2.clone(), 1e-5, own.3.clone(), activation);
        let expected = normalized(burn.0.clone(), burn.1.clone(), burn.2.clone(), burn.3.clone(), activation);
        close(&what, found.maps.clone().inner(), expected.clone().inner());
        let mean = maps.clone().mean_dims(&[0, 1, 2]);
        close(&what, found.mean, mean.clone().reshape([24]));
        close(&what, found.variance, (maps.clone() - mean).square().mean_dims(&[0, 1, 2]).reshape([24]));
        let (found, expected) = (weighed(found.maps).backward(), weighed(expected).backward());
        close(&format!("{what}: maps"), own.0.grad(&found).unwrap(), burn.0.grad(&expected).unwrap());
        close(&format!("{what}: weight"), own.1.grad(&found).unwrap(), burn.1.grad(&expected).unwrap());
        close(&format!("{what}: bias"), own.2.grad(&found).unwrap(), burn.2.grad(&expected).unwrap());
        if let (Some(own), Some(burn)) = (own.3, burn.3) {
            close(&format!("{what}: others"), own.grad(&found).unwrap(), burn.grad(&expected).unwrap());
        }
    }
}

#[test]
fn pooling_equals_that_of_burn() {
    for [height, width] in [[8, 8], [7, 9], [1, 5]] {
        let maps = made_up(5, [2, height, width, 20]);
        let (own_maps, burn_maps) = (leaf(&maps), leaf(&maps));
        let own = max_pool(own_maps.clone(), MaxPool { side: 3, stride: 2 });
        let options = MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]);
        let burn = nhwc(max_pool2d(nchw(burn_maps.clone()), options));
        close("pooled", own.clone().inner(), burn.clone().inner());
        let (own, burn) = (weighed(own).backward(), weighed(burn).backward());
        close("gradient", own_maps.grad(&own).unwrap(), burn_maps.grad(&burn).unwrap());
    }
}

#[test]
fn threads_do_not_change_gradients() {
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let form =
                Form { inputs: 32, side: 3, stride: 1, padding: Padding::Centred, dilation: 1, depthwise: false };
            let (maps, weight) = (leaf(&made_up(1, [4, 20, 20, 32])), leaf(&made_up(2, [48, 32, 3, 3])));
            let (scale, shift) = (leaf(&made_up(3, [48])), leaf(&made_up(4, [48])));
            let out = normalize(
                convolve(maps.clone(), weight.clone(), form),
                scale.clone(),
                shift,
                1e-5,
                None,
                Activation::leaky(0.0),
            )
            .maps;
            let found = weighed(max_pool(out, MaxPool { side: 3, stride: 2 })).backward();
            let bits =
                |data: TensorData| data.try_to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            [
                bits(maps.grad(&found).unwrap().into_data()),
                bits(weight.grad(&found).unwrap().into_data()),
                bits(scale.grad(&found).unwrap().into_data()),
            ]
        })
    };
    assert_eq!(gradients(1), gradients(3));
}

#[test]
fn adam_in_place_equals_that_of_burn() {
    let value = made_up(1, [1000]);
    let step = |index: u64| made_up::<1>(10 + index, [1000]);
    let numbers = crate::kernels::gradients::AdamStep {
        beta1: 0.9,
        beta2: 0.99,
        kept: 0.999,
        rate: 0.01,
        root: 1.5,
        epsilon: 1e-8,
    };
    let zeros = || Tensor::<1>::zeros([1000], &Device::Cpu.burn());
    let run = |rule: adam_w::Update| {
        let (mut first, mut second) = (zeros(), zeros());
        let value =
            (0..3).fold(value.clone(), |value, index| rule(numbers, value, step(index), &mut first, &mut second));
        [value, first, second]
    };
    for (own, burn) in run(adam_w::apply_in_place).into_iter().zip(run(adam_w::apply)) {
        close("adam", own, burn);
    }
}

/// Three steps of `torch.optim.AdamW` of PyTorch 2.15 with `lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1`. Some gradients are as
/// small as epsilon, so that it matters where it is added: to the corrected root.
#[test]
fn adam_equals_that_of_pytorch() {
    let network = |weights: &crate::weights::Weights| weights.tensor::<1>("weight", [4]);
    let mut parameters = crate::Parameters::initial(Device::Cpu, 1, network);
    parameters.update("weight", |_| tensor_of([0.5, -0.25, 1.0, 0.0]));
    let mut optimizer = AdamW::new(0.99, 1e-8);
    for (step, expected) in [
        [0.489_500_02, -0.243_083_34, 0.996_692_3, 0.0],
        [0.479_371_76, -0.235_514_6, 0.992_591_3, 0.0],
        [0.469_337_05, -0.227_515_52, 0.987_834_75, 0.0],
    ]
    .into_iter()
    .enumerate()
    {
        let gradient = tensor_of([1.0, -2e-8, 3e-9, 0.0]) * (step + 1) as f32;
        let gradients = [("weight".to_owned(), gradient)].into();
        optimizer.step(&mut parameters, gradients, |_| Group { rate: 0.01, momentum: 0.9, decay: 0.1 });
        close(&format!("step {step}"), parameters.tensor("weight"), tensor_of(expected));
    }
}

fn tensor_of(values: [f32; 4]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [4]), &Device::Cpu.burn())
}
