package mock_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server for the length of a test.
func start(t testing.TB, config mock.Config) *mock.Server {
	t.Helper()
	server, err := mock.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

// connect makes a client for the length of a test; in version 0 it finds one.
func connect(t testing.TB, config kmip.Config, v kmip.Version) *kmip.Client {
	t.Helper()
	config.Version = v
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	return client
}

// one is a client of a server of its own.
func one(t testing.TB, config mock.Config, v kmip.Version) *kmip.Client {
	return connect(t, start(t, config).Client(), v)
}

func do[R any](t testing.TB, c *kmip.Client, r kmip.Request[R]) *R {
	t.Helper()
	response, err := kmip.Do(t.Context(), c, r)
	require.NoError(t, err)
	return response
}

// refused makes sure that a request fails for that reason.
func refused[R any](t testing.TB, c *kmip.Client, r kmip.Request[R], reason kmip.ResultReason) {
	t.Helper()
	_, err := kmip.Do(t.Context(), c, r)
	require.ErrorIs(t, err, reason)
}

// createAES is a request for a key; more are attributes that it has beside the required ones.
func createAES(more ...kmip.Attribute) *kmip.Create {
	return &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: append(aes(256), more...)}
}

func aes(bits int32) kmip.Attributes {
	return kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES),
		kmip.IntAttribute(ttlv.TagCryptographicLength, bits),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt|kmip.UsageDecrypt),
	}
}

func mask(m kmip.UsageMask) kmip.Attribute {
	return kmip.IntAttribute(ttlv.TagCryptographicUsageMask, m)
}

// attributesOf are those of an object, all or the ones named.
func attributesOf(t testing.TB, c *kmip.Client, id string, tags ...ttlv.Tag) kmip.Attributes {
	t.Helper()
	var names []kmip.AttributeName
	for _, tag := range tags {
		names = append(names, kmip.AttributeName{Tag: tag})
	}
	return do(t, c, &kmip.GetAttributes{UniqueIdentifier: id, Names: names}).Attributes
}

func stateOf(t testing.TB, c *kmip.Client, id string) kmip.State {
	t.Helper()
	return attributesOf(t, c, id, ttlv.TagState).State()
}

// tlsConfig is a client's configuration for crypto/tls, for what kmip.Client would not send.
func tlsConfig(c kmip.Config) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.TLS.Certificate}, RootCAs: c.TLS.Roots, ServerName: c.TLS.ServerName}
}

// raw sends bytes over a connection of its own and returns the reply, decoded, and the connection.
func raw(t testing.TB, server *mock.Server, request []byte) (*kmip.ResponseMessage, *tls.Conn) {
	t.Helper()
	conn, err := tls.Dial("tcp", server.Addr(), tlsConfig(server.Client()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return send(t, conn, request), conn
}

func send(t testing.TB, conn *tls.Conn, request []byte) *kmip.ResponseMessage {
	t.Helper()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err := conn.Write(request)
	require.NoError(t, err)
	reply, err := ttlv.ReadMessage(conn, ttlv.TagResponseMessage, 1<<20)
	require.NoError(t, err)
	m := new(kmip.ResponseMessage)
	require.NoError(t, m.Decode(&ttlv.Coder{Strict: true}, reply))
	return m
}

// message is a request as bytes.
func message(t testing.TB, h kmip.RequestHeader, items ...kmip.RequestItem) []byte {
	t.Helper()
	if h.Version == 0 {
		h.Version = kmip.V1_4
	}
	m := kmip.RequestMessage{Header: h, Items: items}
	b, err := m.Append(new(ttlv.Coder), nil)
	require.NoError(t, err)
	return b
}

func item[R any](id string, r kmip.Request[R]) kmip.RequestItem {
	return kmip.RequestItem{Operation: r.Operation(), ID: []byte(id), Payload: r}
}

// handmade is a request of one item with these fields, in its header and in its payload, for what package kmip does not write.
func handmade(t testing.TB, v kmip.Version, o kmip.Operation, header, payload func(*ttlv.Coder)) []byte {
	t.Helper()
	c := ttlv.Coder{Version: uint16(v)}
	b, err := c.Append(nil, ttlv.TagRequestMessage, func(c *ttlv.Coder) {
		c.Struct(ttlv.TagRequestHeader, func(c *ttlv.Coder) {
			major, minor, count := int32(v>>8), int32(v&0xFF), int32(1)
			c.Struct(ttlv.TagProtocolVersion, func(c *ttlv.Coder) {
				c.Int(ttlv.TagProtocolVersionMajor, &major)
				c.Int(ttlv.TagProtocolVersionMinor, &minor)
			})
			header(c)
			c.Int(ttlv.TagBatchCount, &count)
		})
		c.Struct(ttlv.TagBatchItem, func(c *ttlv.Coder) {
			ttlv.Enum(c, ttlv.TagOperation, &o)
			c.Struct(ttlv.TagRequestPayload, payload)
		})
	})
	require.NoError(t, err)
	return b
}

func nothing(*ttlv.Coder) {}
