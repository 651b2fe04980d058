"""Read one key with PyKMIP's client: pykmip_get.py ADDRESS PKI KEY-ID."""
import sys

from kmip.pie.client import ProxyKmipClient

address, pki, key_id = sys.argv[1:]
host, port = address.rsplit(":", 1)
client = ProxyKmipClient(
    hostname=host, port=int(port), cert=pki + "/client.pem", key=pki + "/client-key.pem", ca=pki + "/ca.pem",
    config_file="/dev/null")
with client:
    print(client.get(key_id).value.hex())
