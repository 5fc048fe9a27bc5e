//! Generates the server side of `WorkflowService` from the descriptors that `temporalio-protos`
//! exports, so that no .proto file is copied here and no protoc is needed.
//!
//! Two rewrites come first. The service keeps only the RPCs of [`SERVED`]: what is not there has
//! no code, and `dispatch.rs` answers it by name. The responses that carry a history are copied
//! into the package `mainstay.twins`, where `history` is `bytes`: the same bytes on the wire, but
//! serving a history is then a copy of the journal's bytes and never a decode.

use prost::Message;
use std::error::Error;
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
/// `google.protobuf.FieldDescriptorProto.Type.TYPE_BYTES`.
const TYPE_BYTES: i32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH")?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={path}");
    let mut descriptors = FileDescriptorSet::decode(fs::read(path)?.as_slice())?;
    keep_what_is_needed(&mut descriptors)?;
    add_twins(&mut descriptors)?;
    serve_only_what_is_served(&mut descriptors)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
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
