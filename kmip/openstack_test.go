package kmip

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// full is a context with every field.
func full() *RequestContext {
	admin := false
	return &RequestContext{
		AuthToken: secret.Bytes("gAAAAABexample-token"), ServiceToken: secret.Bytes("gAAAAABservice-token"),
		UserID: "1f2e3d4c5b6a79880123456789abcdef", ProjectID: "a0b1c2d3e4f5061728394a5b6c7d8e9f", DomainID: "d0", IsAdmin: &admin,
		Roles: []string{"member", "reader"}, RequestID: "req-6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11", GlobalRequestID: "req-0",
		RemoteAddress: "192.0.2.7", UserName: "alice", ProjectName: "demo", UserDomainID: "default", ProjectDomainID: "default",
		Timestamp: "2024-05-01T12:00:00.000000",
	}
}

// TestWorkedExample: the bytes in docs/credential.md are what is written and read here.
func TestWorkedExample(t *testing.T) {
	text, err := os.ReadFile("../docs/credential.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "```hex\n")
	require.True(t, found)
	block, _, _ := strings.Cut(after, "```")
	block = regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(block, "")
	written, err := hex.DecodeString(strings.Join(strings.Fields(block), ""))
	require.NoError(t, err)

	var h RequestHeader
	require.NoError(t, new(ttlv.Coder).Decode(written, ttlv.TagRequestHeader, h.fields))
	require.Len(t, h.Credentials, 1)
	require.Equal(t, OpenStack, h.Credentials[0].Type)
	said, err := h.Credentials[0].RequestContext()
	require.NoError(t, err)
	require.Equal(t, example(), said)

	h.Credentials = []Credential{OpenStackCredential(example())}
	again, err := new(ttlv.Coder).Append(nil, ttlv.TagRequestHeader, h.fields)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(written), hex.EncodeToString(again))
}

// example is the context of the worked example.
func example() *RequestContext {
	admin := false
	return &RequestContext{
		AuthToken: secret.Bytes("gAAAAABmExample"), UserID: "alice-id", ProjectID: "demo-id", IsAdmin: &admin,
		Roles: []string{"member", "reader"}, RequestID: "req-1",
	}
}

// texts is a context whose texts are of that length.
func texts(length int) *RequestContext {
	admin, s := true, strings.Repeat("s", length)
	return &RequestContext{
		AuthToken: secret.Bytes(s), ServiceToken: secret.Bytes(s), UserID: s, ProjectID: s, DomainID: s, IsAdmin: &admin,
		Roles: slices.Repeat([]string{s}, 20), RequestID: s, GlobalRequestID: s, RemoteAddress: s, UserName: s, ProjectName: s,
		UserDomainID: s, ProjectDomainID: s, Timestamp: s,
	}
}

// TestEmptyTokenIsLeftOut: a server would refuse it, and with it the request.
func TestEmptyTokenIsLeftOut(t *testing.T) {
	bare := OpenStackCredential(&RequestContext{AuthToken: secret.Bytes("t")})
	require.Equal(t, bare, OpenStackCredential(&RequestContext{AuthToken: secret.Bytes("t"), ServiceToken: secret.Bytes{}}))
}

func TestRequestContextRoundTrip(t *testing.T) {
	for name, r := range map[string]*RequestContext{"full": full(), "example": example(), "empty": {}, "short": texts(1), "long": texts(999), "tokens of 64 KiB": {
		AuthToken: bytes.Repeat([]byte("x"), 64<<10), ServiceToken: bytes.Repeat([]byte("y"), 64<<10),
	}} {
		t.Run(name, func(t *testing.T) {
			d := OpenStackCredential(r)
			require.LessOrEqual(t, len(d.Value.Data)+itemHeader, r.room(), "the buffer did not grow")
			said, err := d.RequestContext()
			require.NoError(t, err)
			require.Equal(t, r, said)
			d.Clear()
			require.Equal(t, make([]byte, len(d.Value.Data)), d.Value.Data)
		})
	}
}

// TestNoTokenStaysBehind: what Forget clears is all there is of the request, whatever the token's length.
func TestNoTokenStaysBehind(t *testing.T) {
	token := bytes.Repeat([]byte("token"), 4<<10)
	c := NewClient(Config{})
	first := c.request[:cap(c.request)]
	credential := OpenStackCredential(&RequestContext{AuthToken: token})
	c.As(&credential)
	all, err := c.credentials(V1_0)
	require.NoError(t, err)
	var b Batch
	Add(&b, &Query{Functions: []QueryFunction{QueryObjects}})
	c.request, err = b.message(V1_0, all).Append(&c.coder, c.request[:0])
	require.NoError(t, err)
	sent := c.request[:cap(c.request)]
	require.Contains(t, string(sent), string(token))
	require.NotContains(t, string(first), "token", "the buffer that was too short")
	c.Forget()
	require.NotContains(t, string(sent), "token")
}

func TestCallersCredential(t *testing.T) {
	password := PasswordCredential("fred", []byte("p"))
	caller := OpenStackCredential(example())
	both := NewClient(Config{Credentials: []Credential{password}})
	both.As(&caller)
	for _, v := range Versions() {
		all, err := both.credentials(v)
		if v < V1_2 {
			var none *CredentialsError
			require.ErrorAs(t, err, &none)
			require.Nil(t, all, "neither of them is left out")
			require.Contains(t, err.Error(), v.String())
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []Credential{password, caller}, all)
	}
	both.As(nil)
	all, err := both.credentials(V1_0)
	require.NoError(t, err)
	require.Equal(t, []Credential{password}, all)
}

// TestPasswordOfAnotherType is not a password.
func TestPasswordOfAnotherType(t *testing.T) {
	name, password := "fred", []byte("p")
	d := Credential{UsernameAndPassword, ttlv.StructValue(0, func(c *ttlv.Coder) {
		c.Text(ttlv.TagUsername, &name)
		c.Bytes(ttlv.TagPassword, &password)
	})}
	_, err := d.Password()
	require.ErrorContains(t, err, "not Text String")
}

// TestEveryRequestCarriesTheCredential: the requests that look for a version too.
func TestEveryRequestCarriesTheCredential(t *testing.T) {
	d := OpenStackCredential(example())
	s := serve(t, nil, raw(encoded(refused(V1_0, InvalidMessage))))
	c := client(t, nil, s)
	c.As(&d)
	_, err := Do(t.Context(), c, &Query{Functions: []QueryFunction{QueryObjects}})
	require.ErrorIs(t, err, InvalidMessage)
	require.Greater(t, len(s.requests), 5, "every version was tried")
	for _, m := range s.requests {
		require.Equal(t, []Credential{d}, m.Header.Credentials)
	}
}

func FuzzCredential(f *testing.F) {
	for _, r := range []*RequestContext{full(), example(), {}} {
		d := OpenStackCredential(r)
		f.Add(d.Value.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Credential{OpenStack, ttlv.Value{Type: ttlv.TypeStructure, Data: slices.Clone(data)}}
		said, err := d.RequestContext()
		if err != nil {
			return
		}
		again := OpenStackCredential(said)
		reread, err := again.RequestContext()
		require.NoError(t, err)
		require.Equal(t, again, OpenStackCredential(reread), "an empty text and none are the same")
	})
}
