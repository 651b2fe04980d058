package protocol_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/protocol"
)

// asked returns the context and the arguments that reach the key manager.
func asked(t *testing.T, op, who, args string) (*protocol.Context, any) {
	t.Helper()
	out, status, s := serve(fmt.Sprintf(`{"version":1,"op":%q,"context":%s,"args":%s}`, op, who, args))
	require.Equal(t, protocol.OK, status, out)
	return s.who, s.args
}

func TestArguments(t *testing.T) {
	expiration := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	consumer := protocol.Consumer{Service: "cinder", ResourceType: "volume", ResourceID: "v1"}
	const id = `"key_id":"` + keyID + `"`
	for _, c := range []struct {
		op, args string
		want     any
	}{
		{
			"create_key", `{"algorithm":"aes","length":256,"name":"n","expiration":"2030-01-02T03:04:05"}`,
			&protocol.CreateKey{Algorithm: "aes", Length: 256, Name: "n", Expiration: &expiration},
		},
		{"create_key_pair", `{"algorithm":"RSA","length":2048,"name":null}`, &protocol.CreateKey{Algorithm: "RSA", Length: 2048}},
		{"get_key", `{` + id + `,"metadata_only":true}`, &protocol.GetKey{KeyID: keyID, MetadataOnly: true}},
		{"get_key", `{"key_id":"` + strings.ToUpper(keyID) + `"}`, &protocol.GetKey{KeyID: keyID}},
		{"copy_key", `{` + id + `}`, &protocol.CopyKey{KeyID: keyID}},
		{"delete_key", `{` + id + `,"force":true}`, &protocol.DeleteKey{KeyID: keyID, Force: true}},
		{"delete_key", `{` + id + `,"force":null}`, &protocol.DeleteKey{KeyID: keyID}},
		{"list_keys", `null`, &protocol.ListKeys{}},
		{"list_keys", `{"object_type":"public","metadata_only":true}`, &protocol.ListKeys{ObjectType: protocol.PublicKey, MetadataOnly: true}},
		{
			"add_consumer", `{` + id + `,"consumer":{"service":"cinder","resource_type":"volume","resource_id":"v1"}}`,
			&protocol.ChangeConsumer{KeyID: keyID, Consumer: consumer},
		},
		{"check", `{"round_trip":true}`, &protocol.CheckOptions{RoundTrip: true}},
	} {
		who, args := asked(t, c.op, "null", c.args)
		require.Equal(t, c.want, args, c.op)
		require.Nil(t, who)
	}
}

func TestStoredObject(t *testing.T) {
	_, args := asked(t, "store_key", "null", `{"object":{"type":"symmetric","name":"n","created":1767225600,"value":"00FFab",
		"algorithm":"aes","bit_length":24,"id":null,"consumers":null,"state":null}}`)
	o := args.(*protocol.StoreKey).Object
	require.Equal(t, protocol.SymmetricKey, o.Type)
	require.Equal(t, "aes", o.Algorithm)
	require.Equal(t, 24, o.BitLength)
	require.Zero(t, o.Created) // not the caller's to say
	require.Len(t, o.Value, 3)

	_, args = asked(t, "store_key", "null", `{"object":{"type":"passphrase","value":""}}`)
	require.NotNil(t, args.(*protocol.StoreKey).Object.Value)
	require.Empty(t, args.(*protocol.StoreKey).Object.Value)
}

func TestContext(t *testing.T) {
	yes := true
	for _, c := range []struct {
		name, json string
		want       *protocol.Context
	}{
		{"none", `null`, nil},
		{"empty", `{}`, &protocol.Context{}},
		{
			"new names", `{"user_id":"u","project_id":"p","domain_id":"d","user_domain_id":"ud","project_domain_id":"pd",
				"is_admin":true,"roles":["admin"],"request_id":"r","global_request_id":"g","remote_address":"a",
				"user_name":"un","project_name":"pn","timestamp":"2026-01-02T03:04:05"}`,
			&protocol.Context{
				UserID: "u", ProjectID: "p", DomainID: "d", UserDomainID: "ud", ProjectDomainID: "pd",
				IsAdmin: &yes, Roles: []string{"admin"}, RequestID: "r", GlobalRequestID: "g", RemoteAddress: "a",
				UserName: "un", ProjectName: "pn", Timestamp: "2026-01-02T03:04:05",
			},
		},
		{
			"old names", `{"user":"u","project":"p","domain":"d","user_domain":"ud","project_domain":"pd"}`,
			&protocol.Context{UserID: "u", ProjectID: "p", DomainID: "d", UserDomainID: "ud", ProjectDomainID: "pd"},
		},
		{"empty project", `{"user_id":"u","project_id":""}`, &protocol.Context{UserID: "u", EmptyProject: "project_id"}},
		{"empty tenant", `{"tenant":"","project_id":null}`, &protocol.Context{EmptyProject: "tenant"}},
		{"empty project and a tenant", `{"tenant":"p","project":"","project_id":""}`, &protocol.Context{ProjectID: "p"}},
		{"oldest names", `{"tenant":"p"}`, &protocol.Context{ProjectID: "p"}},
		{"both names", `{"user":"old","user_id":"u","tenant":"older","project":"p"}`, &protocol.Context{UserID: "u", ProjectID: "p"}},
		// A caller acts for the project that it names by the new name, wherever that stands, and never for the old one's.
		{
			"both names of each, the new ones first", `{"user_id":"u","project_id":"p","domain_id":"d","user_domain_id":"ud","project_domain_id":"pd",
				"user":"old","project":"old","tenant":"older","domain":"old","user_domain":"old","project_domain":"old"}`,
			&protocol.Context{UserID: "u", ProjectID: "p", DomainID: "d", UserDomainID: "ud", ProjectDomainID: "pd"},
		},
		{
			"both names of each, the old ones first", `{"user":"old","project":"old","tenant":"older","domain":"old","user_domain":"old",
				"project_domain":"old","user_id":"u","project_id":"p","domain_id":"d","user_domain_id":"ud","project_domain_id":"pd"}`,
			&protocol.Context{UserID: "u", ProjectID: "p", DomainID: "d", UserDomainID: "ud", ProjectDomainID: "pd"},
		},
		{"empty new names", `{"user":"u","user_id":"","tenant":"p","project":null,"domain":"d","domain_id":""}`, &protocol.Context{UserID: "u", ProjectID: "p", DomainID: "d"}},
		{"empty old name", `{"project_id":"p","project":"","tenant":""}`, &protocol.Context{ProjectID: "p"}},
		{"roles", `{"roles":["a",null,"b"],"roles":["c",null,""]}`, &protocol.Context{Roles: []string{"c"}}},
		{"null new name", `{"user":"u","user_id":null}`, &protocol.Context{UserID: "u"}},
		{
			"all null", `{"auth_token":null,"service_token":null,"user_id":null,"project_id":null,"domain_id":null,"is_admin":null,
				"roles":null,"request_id":null,"timestamp":null,"castellan":null}`,
			&protocol.Context{},
		},
		{
			"odd values", `{"timestamp":1767225600.5,"quota_class":{"a":[1]},"service_catalog":[{}],"read_deleted":7}`,
			&protocol.Context{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			who, _ := asked(t, "check", c.json, "{}")
			require.Equal(t, c.want, who)
		})
	}
}

// TestCastellanOfAnotherType: whether it matters who asks is not known here.
func TestCastellanOfAnotherType(t *testing.T) {
	for _, text := range []string{"5", `"keystone_token"`, "[]", "true"} {
		out, status, _ := serve(fmt.Sprintf(`{"version":1,"op":"check","context":{"castellan":%s}}`, text))
		require.Equal(t, protocol.Failed, status)
		require.Contains(t, out, "context.castellan: ")
	}
}

func TestContextSecrets(t *testing.T) {
	_, _, s := serve(`{"version":1,"op":"check","context":{"auth_token":"gAAAA-to\u006ben","service_token":"",
		"castellan":{"type":"keystone_password","password":"5ec4e7"}}}`)
	require.Contains(t, s.seen, "AuthToken:secret(11 bytes) ServiceToken:secret(0 bytes)")
	require.Contains(t, s.seen, "Castellan:secret(48 bytes)")
}

func TestExpiration(t *testing.T) {
	for text, want := range map[string]string{
		"2030-01-02T03:04:05":              "2030-01-02T03:04:05Z",
		"2030-01-02 03:04:05":              "2030-01-02T03:04:05Z",
		"2030-01-02T03:04:05.678901":       "2030-01-02T03:04:05.678901Z",
		"2030-01-02T03:04:05Z":             "2030-01-02T03:04:05Z",
		"2030-01-02T03:04:05+00:00":        "2030-01-02T03:04:05Z",
		"2030-01-02T03:04:05.5+02:00":      "2030-01-02T01:04:05.5Z",
		"2030-01-02 03:04:05.678901-0330":  "2030-01-02T06:34:05.678901Z",
		"2030-01-02T03:04:05+01":           "2030-01-02T02:04:05Z",
		"2030-01-02T03:04":                 "2030-01-02T03:04:00Z",
		"20300102T030405":                  "2030-01-02T03:04:05Z",
		"20300102T030405Z":                 "2030-01-02T03:04:05Z",
		"20300102T030405+0200":             "2030-01-02T01:04:05Z",
		"20300102":                         "2030-01-02T00:00:00Z",
		"2030-01-02T03:04+01:00":           "2030-01-02T02:04:00Z",
		"2030-01-02":                       "2030-01-02T00:00:00Z",
		"":                                 "",
		"2030":                             "",
		"2030-13-01":                       "",
		"2030-01-02T25:00:00":              "",
		"2030-01-02T03:04:05 Europe/Paris": "",
		`2030-01-02\u0020`:                 "",
	} {
		t.Run(text, func(t *testing.T) {
			out, _, s := serve(`{"version":1,"op":"create_key","args":{"algorithm":"AES","length":256,"expiration":"` + text + `"}}`)
			if want == "" {
				require.Contains(t, out, "args.expiration: must be an ISO 8601 date and time")
				return
			}
			got := s.args.(*protocol.CreateKey).Expiration
			require.Equal(t, want, got.Format(time.RFC3339Nano))
		})
	}
}

func TestWholeNumbers(t *testing.T) {
	for text, want := range map[string]int{
		"256": 256, "256.0": 256, "2.56e2": 256, "256.5": -1, "1e400": -1, "9007199254740993.0": -1, "-256.0": -1, `"256"`: -1,
	} {
		out, _, s := serve(`{"version":1.0,"op":"create_key","args":{"algorithm":"AES","length":` + text + `}}`)
		if want < 0 {
			require.Contains(t, out, "args.length: must be a", text)
			continue
		}
		require.Equal(t, want, s.args.(*protocol.CreateKey).Length, text)
	}
}

func TestEveryOperationIsKnown(t *testing.T) {
	out, _, _ := serve(`{"version":1,"op":"?"}`)
	_, list, _ := strings.Cut(out, "known: ")
	list, _, _ = strings.Cut(list, `"`)
	ops := strings.Split(list, ", ")
	require.Len(t, ops, 10)
	for _, op := range ops {
		out, _, _ := serve(fmt.Sprintf(`{"version":1,"op":%q}`, op))
		require.NotContains(t, out, "unsupported")
	}
}

func TestALongOpIsNotRepeated(t *testing.T) {
	out, _, _ := serve(fmt.Sprintf(`{"version":1,"op":%q}`, strings.Repeat("x", 1e6)))
	require.Less(t, len(out), 1000)
}

// TestKeysHaveAnAlgorithm: a public key would come back to Castellan without its algorithm and length.
func TestKeysHaveAnAlgorithm(t *testing.T) {
	for kind, key := range map[protocol.ObjectType]bool{
		protocol.SymmetricKey: true, protocol.PublicKey: true, protocol.PrivateKey: true,
		protocol.Certificate: false, protocol.Passphrase: false, protocol.OpaqueData: false,
	} {
		require.Equal(t, key, kind.IsKey(), kind)
	}
}
