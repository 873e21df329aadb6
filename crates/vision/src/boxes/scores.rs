/// The probability of the second of two classes, from their logits: that of `softmax`.
pub fn second_probability([first, second]: [f32; 2]) -> f32 {
    let largest = first.max(second);
    let (first, second) = ((first - largest).exp(), (second - largest).exp());
    second / (first + second)
}
