//! `bench`: how fast this machine does the work.

mod aging;
mod classifier;
mod dataset;
mod detector;
mod endpoint;
mod face;
mod functions;
mod measurement;
mod objects;
mod pipeline;
mod preview;
mod processes;
mod s3;
mod serve;
mod size;
mod split;
mod up;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Find, landmark and cut out a face
    Face(face::BenchFace),
    /// Age a face with the preview engine
    Preview(preview::BenchPreview),
    /// Age a face with the SAM engine
    Aging(aging::BenchAging),
    /// Tell the class of a picture by a network
    Classifier(classifier::BenchClassifier),
    /// Find the faces of a picture by a network, and run the network alone ("forward")
    Detector(detector::BenchDetector),
    /// Find the objects of a picture by a network: SSD or Faster R-CNN
    Objects(objects::BenchObjects),
    /// Read annotated pictures: a Ground Truth manifest and a TFRecord file
    Dataset(dataset::BenchDataset),
    /// Split a strip into JPEGs
    Split(split::BenchSplit),
    /// Measure the time that the model server adds to its work
    Serve(serve::BenchServe),
    /// Measure an endpoint: deployment, time per image, cost per 1000 images
    Endpoint(endpoint::BenchEndpoint),
    /// Measure the processor time, throughput and latency of the whole pipeline
    Pipeline(pipeline::BenchPipeline),
    /// Measure PUT and GET of S3, beside other S3 servers
    S3(s3::BenchS3),
    /// Measure the deployed functions: size, cold starts, memory
    Functions(functions::BenchFunctions),
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Face(face) => face::run(face),
        Bench::Preview(preview) => preview::run(preview),
        Bench::Aging(aging) => aging::run(aging),
        Bench::Classifier(classifier) => classifier::run(classifier),
        Bench::Detector(detector) => detector::run(detector),
        Bench::Objects(objects) => objects::run(objects),
        Bench::Dataset(dataset) => dataset::run(dataset),
        Bench::Split(split) => split::run(split),
        Bench::Serve(serve) => serve::run(serve),
        Bench::Endpoint(endpoint) => endpoint::run(endpoint),
        Bench::Pipeline(pipeline) => pipeline::run(pipeline),
        Bench::S3(s3) => s3::run(s3),
        Bench::Functions(functions) => functions::run(functions),
    }
}
