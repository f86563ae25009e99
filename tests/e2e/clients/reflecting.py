"""As grpcurl does it: no stubs, every message made from what the server says of itself. URL as argument."""

import json

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from scenarios import main


class Reflected:
    def __init__(self, url):
        self._channel = grpc.insecure_channel(url)
        self._database = ProtoReflectionDescriptorDatabase(self._channel)
        self._pool = DescriptorPool(self._database)

    def services(self):
        return {
            name: [method.name for method in self._pool.FindServiceByName(name).methods] for name in self._database.get_services()
        }

    def call(self, service, method, request):
        """Request and reply as JSON, as grpcurl takes and gives them."""
        described = self._pool.FindServiceByName(service).FindMethodByName(method)
        message = json_format.ParseDict(request, GetMessageClass(described.input_type)(), descriptor_pool=self._pool)
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        try:
            return json_format.MessageToDict(call(message, timeout=30), descriptor_pool=self._pool)
        except grpc.RpcError as error:
            return {"status": error.code().name, "message": error.details()}


def services(url):
    return Reflected(url).services()


def call(url, service, method, request):
    """request: JSON."""
    return Reflected(url).call(service, method, json.loads(request))


if __name__ == "__main__":
    main({"services": services, "call": call})
