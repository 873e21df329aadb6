//! Filters and joins records: what the model gets, and what the output gets.

use serde_json::{Value, json};

use super::path::{Missing, Path, PathError};
use crate::sagemaker::records::{Format, Processing};

/// Why a record cannot be filtered or joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("a row is not CSV")]
    Csv(#[from] csv::Error),
    #[error("a record is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("the model answered {answers} lines for {records} records")]
    Count { answers: usize, records: usize },
}

/// The filters of a job.
#[derive(Debug)]
pub(super) struct Filters {
    input: (Format, Path),
    output: (Format, Path),
    join: bool,
}

impl Filters {
    pub(super) fn new(processing: &Processing) -> Result<Self, PathError> {
        Ok(Self {
            input: (processing.input, processing.input_filter.parse()?),
            output: (processing.output, processing.output_filter.parse()?),
            join: processing.join,
        })
    }

    /// Whether the join needs the records as they were.
    pub(super) fn joins(&self) -> bool {
        self.join
    }

    /// Whether the model gets other bytes than the record has.
    pub(super) fn changes_input(&self) -> bool {
        !self.input.1.takes_all()
    }

    /// What the model gets of a record.
    pub(super) fn incoming(&self, record: &[u8]) -> Result<Vec<u8>, FilterError> {
        let (format, path) = &self.input;
        if path.takes_all() {
            return Ok(record.to_vec());
        }
        write(*format, &path.of(&read(*format, record)?)?)
    }

    /// What the output gets for some records: one answer for each. `originals` are the records as they were, if they are joined.
    pub(super) fn outgoing(
        &self,
        records: usize,
        originals: &[Vec<u8>],
        answer: &[u8],
    ) -> Result<Vec<Vec<u8>>, FilterError> {
        let (format, path) = &self.output;
        if !self.join && path.takes_all() {
            return Ok(vec![answer.to_vec()]);
        }
        // One document of JSON may have several lines.
        let answers: Vec<&[u8]> = if *format == Format::Json && records == 1 { vec![answer] } else { lines(answer) };
        if answers.len() != records {
            return Err(FilterError::Count { answers: answers.len(), records });
        }
        let mut outputs = Vec::with_capacity(records);
        for (number, answer) in answers.into_iter().enumerate() {
            let mut value = read(*format, answer)?;
            if let Some(original) = originals.get(number) {
                value = join(*format, read(self.input.0, original)?, value);
            }
            outputs.push(write(*format, &path.of(&value)?)?);
        }
        Ok(outputs)
    }
}

fn lines(answer: &[u8]) -> Vec<&[u8]> {
    let text = answer.strip_suffix(b"\n").unwrap_or(answer);
    text.split(|byte| *byte == b'\n').collect()
}

fn join(format: Format, input: Value, output: Value) -> Value {
    match (input, output) {
        (Value::Array(mut fields), Value::Array(more)) if format == Format::Csv => {
            fields.extend(more);
            Value::Array(fields)
        }
        (Value::Object(mut members), output) => {
            members.insert("SageMakerOutput".to_owned(), output);
            Value::Object(members)
        }
        (input, output) => json!({"SageMakerInput": input, "SageMakerOutput": output}),
    }
}

fn read(format: Format, record: &[u8]) -> Result<Value, FilterError> {
    if format != Format::Csv {
        return Ok(serde_json::from_slice(record)?);
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
    let row = reader.records().next().transpose()?.unwrap_or_default();
    Ok(Value::Array(row.iter().map(Value::from).collect()))
}

fn write(format: Format, value: &Value) -> Result<Vec<u8>, FilterError> {
    if format != Format::Csv {
        return Ok(serde_json::to_vec(value)?);
    }
    let field = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = match value {
        Value::Array(fields) => fields.iter().map(field).collect(),
        one => vec![field(one)],
    };
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    writer.write_record(&fields)?;
    let mut row = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    row.truncate(row.len() - usize::from(row.ends_with(b"\n")));
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(format: Format, input: &str, output: &str, join: bool) -> Filters {
        let (input_filter, output_filter) = (input.to_owned(), output.to_owned());
        Filters::new(&Processing { input: format, output: format, input_filter, output_filter, join }).unwrap()
    }

    fn through(filters: &Filters, records: &[&str], answer: &str) -> Result<Vec<String>, String> {
        let originals: Vec<Vec<u8>> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
        let originals = if filters.joins() { originals } else { Vec::new() };
        let outputs = filters.outgoing(records.len(), &originals, answer.as_bytes());
        let text = |output: Vec<u8>| String::from_utf8(output).unwrap();
        outputs.map(|outputs| outputs.into_iter().map(text).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_filtered_by_column_and_joined_at_their_end() {
        let rows = filters(Format::Csv, "$[1:]", "$[0,-1]", true);
        assert_eq!(rows.incoming(b"id7,\"a,b\",3\r").unwrap(), b"\"a,b\",3");
        assert_eq!(through(&rows, &["id7,2,3", "\"a,b\",1,1"], "5\n2.50\n").unwrap(), ["id7,5", "\"a,b\",2.50"]);
        let all = filters(Format::Csv, "$", "$", true);
        assert_eq!(through(&all, &["1,2,3"], "1").unwrap(), ["1,2,3,1"]);
        assert_eq!(all.incoming(b"1, 2").unwrap(), b"1, 2", "a record that is not filtered stays as it is");
    }

    #[test]
    fn objects_get_the_answer_as_a_member() {
        let one = filters(Format::JsonLines, "$.x", "$['id','SageMakerOutput']", true);
        assert_eq!(one.incoming(br#"{"id": 1, "x": [2]}"#).unwrap(), b"[2]");
        let found = through(&one, &[r#"{"id": 1, "x": [2], "SageMakerOutput": "old"}"#], r#"{"y": 3}"#).unwrap();
        assert_eq!(found, [r#"{"SageMakerOutput":{"y":3},"id":1}"#]);
        let all = filters(Format::Json, "$", "$", true);
        assert_eq!(
            through(&all, &["[1, 2]"], "{\n\"y\": 3}").unwrap(),
            [r#"{"SageMakerInput":[1,2],"SageMakerOutput":{"y":3}}"#]
        );
    }

    #[test]
    fn a_model_answers_a_line_for_a_record() {
        let rows = filters(Format::Csv, "$", "$[0]", false);
        assert_eq!(through(&rows, &["a", "b"], "1,2\n3,4").unwrap(), ["1", "3"]);
        let words = through(&rows, &["a", "b"], "1\n2\n3\n").unwrap_err();
        assert_eq!(words, "the model answered 3 lines for 2 records");
        assert!(through(&filters(Format::Json, "$", "$.a", false), &["1"], "no json").is_err());
        assert!(through(&rows, &["a"], "\n").unwrap_err().contains("no element 0"));
    }
}
