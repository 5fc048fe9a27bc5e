//! DescribeGroups 0-6. A group that is not there is "Dead" and no error, until version 6 made it
//! GROUP_ID_NOT_FOUND.

use crate::{
    api::{
        AUTHORIZED_OPERATIONS_UNKNOWN, Api, Client, NoAnswer, THROTTLE_MS, expect_reply, refusal,
    },
    backend::Backend,
    wire::{Reader, Result as WireResult, Writer},
};
use topics::{
    Ask, ErrorCode, Reply,
    ask::{self, DescribedGroup, DescribedMember},
};

/// The API.
pub(crate) struct DescribeGroups;

impl Api for DescribeGroups {
    type Request = ask::DescribeGroups;
    type Response = Vec<DescribedGroup>;

    fn decode(reader: &mut Reader, version: i16) -> WireResult<ask::DescribeGroups> {
        let groups = reader.array(1, Reader::string)?;
        if version >= 3 {
            reader.bool()?;
        }
        reader.tags()?;
        Ok(ask::DescribeGroups { groups })
    }

    async fn answer<B: Backend>(
        backend: &B,
        _: &Client,
        _: i16,
        request: ask::DescribeGroups,
    ) -> Result<Vec<DescribedGroup>, NoAnswer> {
        let names = request.groups.clone();
        match backend.topics(Ask::DescribeGroups(request)).await {
            Ok(reply) => expect_reply!(reply, Reply::DescribeGroups),
            Err(error) => {
                let error = refusal(error, ErrorCode::CoordinatorNotAvailable)?;
                Ok(names.into_iter().map(|group| refused(group, error)).collect())
            }
        }
    }

    fn encode(writer: &mut Writer, version: i16, response: &Vec<DescribedGroup>) {
        if version >= 1 {
            writer.i32(THROTTLE_MS);
        }
        writer.array(response, |writer, group| {
            let is_missing = group.error == ErrorCode::None && group.state == "Dead";
            if version >= 6 && is_missing {
                writer.i16(ErrorCode::GroupIdNotFound.code());
                writer.nullable_string(Some(&format!("Group {} not found.", group.group)));
            } else {
                writer.i16(group.error.code());
                if version >= 6 {
                    writer.nullable_string(None);
                }
            }
            writer.string(&group.group);
            writer.string(group.state);
            writer.string(&group.protocol_type);
            writer.string(&group.protocol);
            writer.array(&group.members, |writer, member| write_member(writer, version, member));
            if version >= 3 {
                writer.i32(AUTHORIZED_OPERATIONS_UNKNOWN);
            }
            writer.tags();
        });
        writer.tags();
    }
}

fn write_member(writer: &mut Writer, version: i16, member: &DescribedMember) {
    writer.string(&member.member);
    if version >= 4 {
        writer.nullable_string(member.instance.as_deref());
    }
    writer.string(&member.client_id);
    writer.string(&member.client_host);
    writer.bytes(&member.metadata);
    writer.bytes(&member.assignment);
    writer.tags();
}

fn refused(group: String, error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error,
        group,
        state: "",
        protocol_type: String::new(),
        protocol: String::new(),
        members: Vec::new(),
    }
}
