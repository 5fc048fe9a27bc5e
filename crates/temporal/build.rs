//! Generates the server side of `WorkflowService` from the descriptors that `temporalio-protos`
//! exports, so that no .proto file is copied here and no protoc is needed.
//!
//! Two rewrites come first. The service keeps only the RPCs of [`SERVED`]: what is not there has
//! no code, and `dispatch.rs` answers it by name. The responses that carry a history are copied
//! into the package `mainstay.twins`, where `history` is `bytes`: the same bytes on the wire, but
//! serving a history is then a copy of the journal's bytes and never a decode.
//!
//! A table goes beside the code: which fields of the requests are messages, or repeated, so that
//! `elements.rs` can count them before anything is decoded.

use prost::Message;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};
use tonic_prost_build::FileDescriptorSet;

/// The RPCs that are answered.
const SERVED: &[&str] = &[
    "DescribeNamespace",
    "DescribeWorkflowExecution",
    "GetClusterInfo",
    "GetSystemInfo",
    "GetWorkflowExecutionHistory",
    "ListNamespaces",
    "PollActivityTaskQueue",
    "PollWorkflowTaskQueue",
    "QueryWorkflow",
    "RecordActivityTaskHeartbeat",
    "RegisterNamespace",
    "RequestCancelWorkflowExecution",
    "ResetStickyTaskQueue",
    "RespondActivityTaskCanceled",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondQueryTaskCompleted",
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "ShutdownWorker",
    "SignalWithStartWorkflowExecution",
    "SignalWorkflowExecution",
    "StartWorkflowExecution",
    "TerminateWorkflowExecution",
];

/// The responses that carry a history, themselves or in a message of this list.
const TWINS: &[&str] = &[
    "GetWorkflowExecutionHistoryResponse",
    "PollWorkflowTaskQueueResponse",
    "RespondWorkflowTaskCompletedResponse",
    "StartWorkflowExecutionResponse",
];

const SERVICE_PACKAGE: &str = "temporal.api.workflowservice.v1";
const TWIN_PACKAGE: &str = "mainstay.twins";
const HISTORY: &str = ".temporal.api.history.v1.History";
// Of `google.protobuf.FieldDescriptorProto`.
const TYPE_STRING: i32 = 9;
const TYPE_MESSAGE: i32 = 11;
const TYPE_BYTES: i32 = 12;
const LABEL_REPEATED: i32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH")?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={path}");
    let mut descriptors = FileDescriptorSet::decode(fs::read(path)?.as_slice())?;
    keep_what_is_needed(&mut descriptors)?;
    add_twins(&mut descriptors)?;
    serve_only_what_is_served(&mut descriptors)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("elements.rs"), table_of_elements(&descriptors)?)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .codec_path("crate::codec::Codec")
        .extern_path(".temporal.api", "::temporalio_protos::temporal::api")
        .bytes(".mainstay.twins.GetWorkflowExecutionHistoryResponse.history")
        .bytes(".mainstay.twins.PollWorkflowTaskQueueResponse.history")
        .include_file(out.join("generated.rs"))
        .compile_fds(descriptors)?;
    Ok(())
}

/// Drops the files that are not Temporal's public API, and all comments. The messages stay,
/// because the generator looks at the fields of their fields; no code comes out for them.
fn keep_what_is_needed(descriptors: &mut FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    descriptors.file.retain(|file| {
        let package = file.package();
        package == "google.protobuf"
            || package.starts_with("temporal.api.") && !package.starts_with("temporal.api.cloud.")
    });
    for file in &mut descriptors.file {
        file.source_code_info = None;
        if file.package() != SERVICE_PACKAGE {
            file.service.clear();
        }
    }
    if descriptors.file.is_empty() { Err("the descriptor set is empty".into()) } else { Ok(()) }
}

/// Adds the file with the twins, and points the service's methods at them.
fn add_twins(descriptors: &mut FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let source = descriptors
        .file
        .iter()
        .find(|file| file.package() == SERVICE_PACKAGE && !file.message_type.is_empty())
        .ok_or("no file with the messages of WorkflowService")?;
    let mut twins = source.clone();
    twins.name = Some("mainstay/twins.proto".to_owned());
    twins.package = Some(TWIN_PACKAGE.to_owned());
    twins.message_type.retain(|message| TWINS.contains(&message.name()));
    if twins.message_type.len() != TWINS.len() {
        return Err("a response that carries a history is gone from the API".into());
    }
    for field in twins.message_type.iter_mut().flat_map(|message| &mut message.field) {
        if field.type_name() == HISTORY {
            field.type_name = None;
            field.r#type = Some(TYPE_BYTES);
            // An empty history must still be there, as an empty message.
            field.proto3_optional = Some(true);
        } else if let Some(twin) = twin_of(field.type_name()) {
            field.type_name = Some(twin);
        }
    }
    descriptors.file.push(twins);
    Ok(())
}

/// Removes the methods that are not served, and lets the others answer with twins.
fn serve_only_what_is_served(descriptors: &mut FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let mut count = 0;
    for service in descriptors.file.iter_mut().flat_map(|file| &mut file.service) {
        service.method.retain(|method| SERVED.contains(&method.name()));
        count += service.method.len();
        for method in &mut service.method {
            if let Some(twin) = twin_of(method.output_type()) {
                method.output_type = Some(twin);
            }
        }
    }
    if count == SERVED.len() {
        Ok(())
    } else {
        Err(format!("{count} of {} served RPCs exist in the API", SERVED.len()).into())
    }
}

/// The name in the twins' package of a type that has a twin, or is nested in one that has.
fn twin_of(type_name: &str) -> Option<String> {
    let name = type_name.strip_prefix('.')?.strip_prefix(SERVICE_PACKAGE)?.strip_prefix('.')?;
    let outer = name.split('.').next()?;
    TWINS.contains(&outer).then(|| format!(".{TWIN_PACKAGE}.{name}"))
}

/// Two constants. `MESSAGES`: for each message that a request can contain, its fields that hold
/// elements, by number, with the index of the field's message (`LEAF` for text and bytes).
/// `REQUESTS`: the requests by name, sorted, with their indexes.
fn table_of_elements(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let messages = element_fields(descriptors);
    let services = descriptors.file.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    let mut requests: Vec<&str> = methods.map(|method| method.input_type()).collect();
    requests.sort_unstable();
    let mut reached = requests.clone();
    let mut table = "const MESSAGES: &[&[(u64, usize)]] = &[\n".to_owned();
    let mut at = 0;
    while let Some(name) = reached.get(at) {
        at += 1;
        table.push_str("    &[");
        for (number, child) in messages.get(*name).ok_or("a field has an unknown type")? {
            let index = child.as_deref().map(|child| index_of(child, &mut reached));
            let index = index.map_or("LEAF".to_owned(), |index| index.to_string());
            write!(table, "({number}, {index}), ")?;
        }
        table.push_str("],\n");
    }
    table.push_str("];\nconst REQUESTS: &[(&str, usize)] = &[\n");
    for (index, name) in requests.iter().enumerate() {
        let name = name.rsplit('.').next().unwrap_or_default();
        writeln!(table, "    ({name:?}, {index}),")?;
    }
    table.push_str("];\n");
    Ok(table)
}

fn index_of<'a>(name: &'a str, reached: &mut Vec<&'a str>) -> usize {
    let known = reached.iter().position(|it| *it == name);
    known.unwrap_or_else(|| {
        reached.push(name);
        reached.len() - 1
    })
}

/// For each message, its fields that are messages (with their type) or repeated text or bytes.
fn element_fields(descriptors: &FileDescriptorSet) -> BTreeMap<String, Vec<(i32, Option<String>)>> {
    let mut messages = BTreeMap::new();
    for file in &descriptors.file {
        let scope = format!(".{}", file.package());
        let mut open: Vec<_> = file.message_type.iter().map(|it| (scope.clone(), it)).collect();
        while let Some((scope, message)) = open.pop() {
            let name = format!("{scope}.{}", message.name());
            open.extend(message.nested_type.iter().map(|nested| (name.clone(), nested)));
            let fields = message.field.iter().filter_map(|field| {
                let is_text = matches!(field.r#type.unwrap_or(0), TYPE_STRING | TYPE_BYTES);
                match field.r#type.unwrap_or(0) {
                    TYPE_MESSAGE => Some((field.number(), field.type_name.clone())),
                    _ if is_text && field.label == Some(LABEL_REPEATED) => {
                        Some((field.number(), None))
                    }
                    _ => None,
                }
            });
            let fields = fields.collect();
            messages.insert(name, fields);
        }
    }
    messages
}
