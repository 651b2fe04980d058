"""PyKMIP as a judge of messages: one line of JSON a question, one an answer.

{"build": "1.2"}                 -> {"create": hex, ...}  requests that PyKMIP writes in that version
{"read": hex, "response": false} -> {"again": hex}        a message that PyKMIP reads and writes again
A question that PyKMIP refuses is answered {"error": text}.
"""

import json
import sys

import kmip
from kmip.core import enums, objects, primitives, secrets, utils
from kmip.core.factories.attributes import AttributeFactory
from kmip.core.messages import contents, messages, payloads

# PyKMIP 0.10 counts eight bytes of padding for a text that it read and that needs
# none, and would write them.
read_text = primitives.TextString.read


def read_text_right(self, *args, **kwargs):
    read_text(self, *args, **kwargs)
    self.padding_length %= 8


primitives.TextString.read = read_text_right

T = enums.AttributeType
attribute = AttributeFactory().create_attribute


def plain_name(text):
    kind = enums.NameType.UNINTERPRETED_TEXT_STRING
    return kmip.core.attributes.Name.create(text, kind)


def name(text):
    return attribute(T.NAME, plain_name(text))


def aes():
    return [
        attribute(T.CRYPTOGRAPHIC_ALGORITHM, enums.CryptographicAlgorithm.AES),
        attribute(T.CRYPTOGRAPHIC_LENGTH, 256),
        attribute(T.CRYPTOGRAPHIC_USAGE_MASK,
                  [enums.CryptographicUsageMask.ENCRYPT,
                   enums.CryptographicUsageMask.DECRYPT]),
        name("a name"),
        attribute(T.OBJECT_GROUP, "group"),
        attribute(T.APPLICATION_SPECIFIC_INFORMATION,
                  {"application_namespace": "space",
                   "application_data": "data"}),
    ]


def key():
    return secrets.SymmetricKey(objects.KeyBlock(
        key_format_type=kmip.core.misc.KeyFormatType(enums.KeyFormatType.RAW),
        key_value=objects.KeyValue(objects.KeyMaterial(bytes(range(32)))),
        cryptographic_algorithm=kmip.core.attributes.CryptographicAlgorithm(
            enums.CryptographicAlgorithm.AES),
        cryptographic_length=kmip.core.attributes.CryptographicLength(256)))


def requests(version):
    op = enums.Operation
    uid = kmip.core.attributes.UniqueIdentifier("8")
    template = objects.TemplateAttribute(attributes=aes())
    yield "create", op.CREATE, payloads.CreateRequestPayload(
        enums.ObjectType.SYMMETRIC_KEY, template)
    yield "register", op.REGISTER, payloads.RegisterRequestPayload(
        enums.ObjectType.SYMMETRIC_KEY, template, key())
    yield "get", op.GET, payloads.GetRequestPayload("8")
    yield "get raw", op.GET, payloads.GetRequestPayload(
        "8", enums.KeyFormatType.RAW)
    yield "locate", op.LOCATE, payloads.LocateRequestPayload(
        maximum_items=2, attributes=[name("a name")])
    yield "get attributes", op.GET_ATTRIBUTES, \
        payloads.GetAttributesRequestPayload("8", ["Name", "State"])
    yield "get attribute list", op.GET_ATTRIBUTE_LIST, \
        payloads.GetAttributeListRequestPayload("8")
    yield "activate", op.ACTIVATE, payloads.ActivateRequestPayload(uid)
    yield "revoke", op.REVOKE, payloads.RevokeRequestPayload(
        uid,
        objects.RevocationReason(enums.RevocationReasonCode.KEY_COMPROMISE,
                                 "lost"),
        primitives.DateTime(
            1234, tag=enums.Tags.COMPROMISE_OCCURRENCE_DATE))
    yield "destroy", op.DESTROY, payloads.DestroyRequestPayload(uid)
    yield "query", op.QUERY, payloads.QueryRequestPayload(
        [enums.QueryFunction.QUERY_OPERATIONS,
         enums.QueryFunction.QUERY_SERVER_INFORMATION])
    yield "discover versions", op.DISCOVER_VERSIONS, \
        payloads.DiscoverVersionsRequestPayload(
            [contents.ProtocolVersion(1, 4), contents.ProtocolVersion(1, 0)])
    if version.major == 1:
        yield "delete attribute", op.DELETE_ATTRIBUTE, \
            payloads.DeleteAttributeRequestPayload("8", "Name", 1)
        yield "modify attribute", op.MODIFY_ATTRIBUTE, \
            payloads.ModifyAttributeRequestPayload("8", name("other"))
    else:
        yield "delete attribute", op.DELETE_ATTRIBUTE, \
            payloads.DeleteAttributeRequestPayload(
                "8", current_attribute=objects.CurrentAttribute(
                    plain_name("old")))
        yield "modify attribute", op.MODIFY_ATTRIBUTE, \
            payloads.ModifyAttributeRequestPayload(
                "8", new_attribute=objects.NewAttribute(
                    plain_name("other")))


def write(message, version):
    stream = utils.BytearrayStream()
    message.write(stream, contents.protocol_version_to_kmip_version(version))
    return stream.buffer.hex()


def build(text):
    version = contents.ProtocolVersion(*map(int, text.split(".")))
    built = {}
    for label, operation, payload in requests(version):
        header = messages.RequestHeader(
            protocol_version=version, batch_count=contents.BatchCount(1))
        item = messages.RequestBatchItem(
            operation=primitives.Enumeration(
                enums.Operation, operation, enums.Tags.OPERATION),
            request_payload=payload)
        built[label] = write(messages.RequestMessage(header, [item]), version)
    return built


def read(text, response):
    message = (messages.ResponseMessage if response
               else messages.RequestMessage)()
    stream = utils.BytearrayStream(bytes.fromhex(text))
    message.read(stream)
    header = message.response_header if response else message.request_header
    return {"again": write(message, header.protocol_version)}


def answer(question):
    try:
        if "build" in question:
            return build(question["build"])
        return read(question["read"], question["response"])
    except Exception as error:
        return {"error": "%s: %s" % (type(error).__name__, error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
