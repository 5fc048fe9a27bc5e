//! DescribeConfigs 1-4, for topics and for the broker.

use crate::{
    api::{
        Api, Client, NODE_ID, NoAnswer, THROTTLE_MS,
        configs::{self, Config, SOURCE_DEFAULT},
    },
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use std::collections::HashSet;
use topics::ErrorCode;

/// The API.
pub(crate) struct DescribeConfigs;

/// Kafka's numbers of resource types.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What to describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) resources: Vec<Resource>,
    pub(crate) include_synonyms: bool,
}

/// One resource; no keys means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) kind: i8,
    pub(crate) name: String,
    pub(crate) keys: Option<Vec<String>>,
}

/// What is described.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) described: Vec<(Resource, Result<Vec<Config>, ErrorCode>)>,
    pub(crate) include_synonyms: bool,
}

impl Api for DescribeConfigs {
    type Request = Request;
    type Response = Response;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<Request> {
        let resources = reader.array(3, |reader| {
            let (kind, name) = (reader.i8()?, reader.string()?);
            let keys = reader.nullable_array(1, Reader::string)?;
            reader.tags()?;
            Ok(Resource { kind, name, keys })
        })?;
        let include_synonyms = reader.bool()?;
        if version >= 3 {
            // Include documentation: there is none to include.
            reader.bool()?;
        }
        reader.tags()?;
        Ok(Request { resources, include_synonyms })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: Request,
    ) -> Result<Response, NoAnswer> {
        // Each resource once: six bytes of a request would be kilobytes of its answer otherwise.
        let mut seen = HashSet::new();
        let mut resources = request.resources;
        resources.retain(|resource| seen.insert((resource.kind, resource.name.clone())));
        let described = resources.into_iter().map(|resource| {
            let configs = describe(backend, &resource);
            (resource, configs)
        });
        let described = described.collect();
        Ok(Response { described, include_synonyms: request.include_synonyms })
    }

    fn encode(writer: &mut Writer, version: i16, response: &Response) {
        writer.i32(THROTTLE_MS);
        writer.array(&response.described, |writer, (resource, configs)| {
            let error = configs.as_ref().err().copied();
            writer.i16(error.unwrap_or(ErrorCode::None).code());
            writer.nullable_string(error.map(|_| "the resource is not known"));
            writer.i8(resource.kind);
            writer.string(&resource.name);
            let configs = configs.as_deref().unwrap_or_default();
            writer.array(configs, |writer, config| {
                write_config(writer, version, config, response.include_synonyms);
            });
            writer.tags();
        });
        writer.tags();
    }
}

fn describe<B: Backend>(backend: &B, resource: &Resource) -> Result<Vec<Config>, ErrorCode> {
    let configs = match resource.kind {
        TOPIC if backend.topic(&resource.name).is_some() => configs::TOPIC,
        TOPIC => return Err(ErrorCode::UnknownTopicOrPartition),
        BROKER if resource.name == NODE_ID.to_string() => configs::BROKER,
        // The dynamic defaults of all brokers: none are set.
        BROKER if resource.name.is_empty() => &[],
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let is_wanted = |config: &&Config| match &resource.keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == config.name),
        _ => true,
    };
    Ok(configs.iter().filter(is_wanted).copied().collect())
}

fn write_config(writer: &mut Writer, version: i16, config: &Config, include_synonyms: bool) {
    writer.string(config.name);
    writer.nullable_string(Some(config.value));
    writer.bool(config.is_read_only);
    writer.i8(SOURCE_DEFAULT);
    writer.bool(false);
    let synonyms = if include_synonyms { std::slice::from_ref(config) } else { &[] };
    writer.array(synonyms, |writer, config| {
        writer.string(config.name);
        writer.nullable_string(Some(config.value));
        writer.i8(SOURCE_DEFAULT);
        writer.tags();
    });
    if version >= 3 {
        writer.i8(config.kind as i8);
        writer.nullable_string(None);
    }
    writer.tags();
}
