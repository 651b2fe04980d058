package keymgr_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// desk gives identities, and notes who asked for which.
type desk struct {
	err    error
	asked  []string
	by     time.Time // the last one's deadline
	forgot []string
}

func (d *desk) Authenticate(ctx context.Context, credential map[string]string) (*protocol.Context, error) {
	d.asked = append(d.asked, fmt.Sprint(credential))
	d.by, _ = ctx.Deadline()
	if d.err != nil {
		return nil, d.err
	}
	return &protocol.Context{AuthToken: secret.Bytes("lent"), UserID: "lent-user", ProjectID: "lent-project"}, nil
}

func (d *desk) Forget(credential map[string]string) {
	d.forgot = append(d.forgot, fmt.Sprint(credential))
}

// forged is the token with which check tries whether a server believes any.
const forged = "a token that nobody gave"

// door notes what every message says of its sender, and refuses it where there is an error. It refuses the forged token,
// unless it stands open.
type door struct {
	open bool
	mu   sync.Mutex
	said []*kmip.RequestContext // copies; nil for a message without
	err  error

	refuses func(said *kmip.RequestContext) error // in place of err
}

func (d *door) authenticate(_ context.Context, _ *tls.ConnectionState, credentials []kmip.Credential) (mock.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var said *kmip.RequestContext
	for i := range credentials {
		if credentials[i].Type == kmip.OpenStack {
			r, err := credentials[i].RequestContext()
			if err != nil {
				return mock.Identity{}, err
			}
			r.AuthToken, r.ServiceToken = append(secret.Bytes{}, r.AuthToken...), append(secret.Bytes{}, r.ServiceToken...)
			said = r
		}
	}
	if said != nil && string(said.AuthToken) == forged && !d.open {
		return mock.Identity{}, kmip.AuthenticationNotSuccessful
	}
	d.said = append(d.said, said)
	if d.refuses != nil {
		return mock.Identity{Owner: "everyone"}, d.refuses(said)
	}
	return mock.Identity{Owner: "everyone"}, d.err
}

// entrance is an integrated manager at work on a mock that takes everyone.
type entrance struct {
	*keymgr.Manager
	client *kmip.Client
	door
	desk
}

func enter(t *testing.T, config mock.Config, change func(*kmip.Config)) *entrance {
	t.Helper()
	e := new(entrance)
	config.Authenticate = e.door.authenticate
	server, err := mock.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	client := server.Client()
	if change != nil {
		change(&client)
	}
	c := kmip.NewClient(client)
	t.Cleanup(func() { c.Close() })
	e.client, e.Manager = c, keymgr.New(c, keymgr.Config{Activate: true, Timeout: 10 * time.Second, Identities: &e.desk})
	return e
}

// everything runs every operation for the caller, until one fails.
func (e *entrance) everything(who *protocol.Context) error {
	ctx := context.Background()
	made, err := e.CreateKey(ctx, who, &protocol.CreateKey{Algorithm: "aes", Length: 256})
	if err != nil {
		return err
	}
	consumer := &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}}
	for _, run := range []func() error{
		func() error { _, err := e.GetKey(ctx, who, &protocol.GetKey{KeyID: made.KeyID}); return err },
		func() error { _, err := e.CopyKey(ctx, who, &protocol.CopyKey{KeyID: made.KeyID}); return err },
		func() error { _, err := e.StoreKey(ctx, who, &protocol.StoreKey{Object: passphrase()}); return err },
		func() error {
			_, err := e.CreateKeyPair(ctx, who, &protocol.CreateKey{Algorithm: "ec", Length: 256})
			return err
		},
		func() error { _, err := e.ListKeys(ctx, who, &protocol.ListKeys{}); return err },
		func() error { _, err := e.AddConsumer(ctx, who, consumer); return err },
		func() error { _, err := e.RemoveConsumer(ctx, who, consumer); return err },
		func() error { _, err := e.DeleteKey(ctx, who, &protocol.DeleteKey{KeyID: made.KeyID}); return err },
		func() error { _, err := e.Check(ctx, who, &protocol.CheckOptions{RoundTrip: true}); return err },
	} {
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

// TestEveryMessageSaysWhoAsks: all that is sent for a caller, whatever the operation and whatever the server's version.
func TestEveryMessageSaysWhoAsks(t *testing.T) {
	admin := true
	who := &protocol.Context{
		AuthToken: secret.Bytes("token"), ServiceToken: secret.Bytes("service"), UserID: "u", ProjectID: "p", DomainID: "d", IsAdmin: &admin,
		Roles: []string{"r"}, RequestID: "req", GlobalRequestID: "global", RemoteAddress: "ra", UserName: "un", ProjectName: "pn",
		UserDomainID: "ud", ProjectDomainID: "pd", Timestamp: "ts",
	}
	want := kmip.RequestContext{
		AuthToken: secret.Bytes("token"), ServiceToken: secret.Bytes("service"), UserID: "u", ProjectID: "p", DomainID: "d", IsAdmin: &admin,
		Roles: []string{"r"}, RequestID: "req", GlobalRequestID: "global", RemoteAddress: "ra", UserName: "un", ProjectName: "pn",
		UserDomainID: "ud", ProjectDomainID: "pd", Timestamp: "ts",
	}
	for name, config := range map[string]mock.Config{
		"any": {}, "1.0": {Versions: mock.VersionRange{Min: kmip.V1_0, Max: kmip.V1_0}}, "2.1": {Versions: mock.VersionRange{Min: kmip.V2_1, Max: kmip.V2_1}},
		"decimal": {DecimalIDs: true}, "single": {NoBatches: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := enter(t, config, nil)
			require.NoError(t, e.everything(who))
			require.Greater(t, len(e.said), 10)
			for _, said := range e.said {
				require.Equal(t, &want, said)
			}
			require.Empty(t, e.asked)
			_, err := keymgr.New(e.client, keymgr.Config{Timeout: 10 * time.Second}).ListKeys(t.Context(), nil, &protocol.ListKeys{})
			require.NoError(t, err)
			require.Nil(t, e.said[len(e.said)-1], "a caller's credential ends with the operation")
		})
	}
}

// TestCallersWithoutToken: who is asked about them, and that nothing is sent where there is no answer.
func TestCallersWithoutToken(t *testing.T) {
	castellan := func(text string) *protocol.Context {
		return &protocol.Context{Castellan: secret.Bytes(text), UserID: "alice", IsAdmin: new(bool), Roles: []string{"admin"}}
	}
	for name, test := range map[string]struct {
		who   *protocol.Context
		asked string // "" for nobody
		token string // "" for refused
		kind  protocol.Kind
	}{
		"none":                   {nil, "map[]", "lent", ""},
		"without token":          {&protocol.Context{UserID: "alice", ProjectID: "p"}, "map[]", "lent", ""},
		"token of no bytes":      {&protocol.Context{AuthToken: secret.Bytes{}}, "map[]", "lent", ""},
		"service token alone":    {&protocol.Context{ServiceToken: secret.Bytes("s")}, "map[]", "lent", ""},
		"token":                  {castellan(`{"type":"token","token":"theirs"}`), "", "theirs", ""},
		"keystone token":         {castellan(`{"type":"keystone_token","token":"theirs","auth_url":"u","project_id":null}`), "", "theirs", ""},
		"keystone token, scoped": {castellan(`{"type":"keystone_token","token":"theirs","project_id":"p"}`), "map[project_id:p token:theirs type:keystone_token]", "lent", ""},
		"keystone password":      {castellan(`{"type":"keystone_password","username":"u","password":"p","reauthenticate":true}`), "map[password:p type:keystone_password username:u]", "lent", ""},
		"password without token": {castellan(`{"type":"keystone_password","password":"p","token":""}`), "map[password:p type:keystone_password]", "lent", ""},
		"password with a token":  {castellan(`{"type":"keystone_password","password":"p","token":"t"}`), "map[password:p token:t type:keystone_password]", "lent", ""},
		"password":               {castellan(`{"type":"password","username":"u","password":"p"}`), "", "", protocol.Forbidden},
		"empty token":            {castellan(`{"type":"token","token":""}`), "", "", protocol.Forbidden},
		"no keystone token":      {castellan(`{"type":"keystone_token","project_id":"p"}`), "", "", protocol.Forbidden},
		"unknown":                {castellan(`{"type":"x509"}`), "", "", protocol.InvalidRequest},
		"no type":                {castellan(`{}`), "", "", protocol.InvalidRequest},
		"no object":              {castellan(`"token"`), "", "", protocol.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			e := enter(t, mock.Config{}, nil)
			err := e.everything(test.who)
			for _, asked := range e.asked {
				require.Equal(t, test.asked, asked)
			}
			require.Equal(t, test.asked == "", len(e.asked) == 0)
			if test.token == "" {
				require.Equal(t, test.kind, kind(err))
				require.Empty(t, e.said, "nothing was sent")
				return
			}
			require.NoError(t, err)
			for _, said := range e.said {
				require.Equal(t, test.token, string(said.AuthToken))
				require.Empty(t, said.ServiceToken)
				require.NotEqual(t, "alice", said.UserID, "a name without a token says nothing")
				require.Nil(t, said.IsAdmin, "nor does what it may do")
				require.Empty(t, said.Roles)
			}
		})
	}
}

// TestNothingIsSentWithoutAnIdentity: without an identity nothing is sent for a caller, and check says so behind all that works.
func TestNothingIsSentWithoutAnIdentity(t *testing.T) {
	e := enter(t, mock.Config{}, nil)
	e.desk.err = &protocol.Error{Kind: protocol.Unavailable, Message: "no Keystone", Retryable: true}
	require.Same(t, e.desk.err, e.everything(nil))
	c, err := e.Check(t.Context(), nil, &protocol.CheckOptions{RoundTrip: true})
	require.NoError(t, err)
	require.False(t, c.OK)
	last := c.Steps[len(c.Steps)-1]
	require.Equal(t, "credential", last.Step)
	require.Contains(t, last.Detail, "no Keystone")
	require.Contains(t, last.Advice, "Keystone must answer")
	require.NotContains(t, last.Advice, "tokenless")
	require.Equal(t, []*kmip.RequestContext{nil}, e.said, "check asks what the server is, and nothing else, for nobody")
}

// TestALentTokenThatIsRefusedIsForgotten: and one that the caller brought is not ours to forget, nor one that is good, of a
// caller who may not do that.
func TestALentTokenThatIsRefusedIsForgotten(t *testing.T) {
	password := &protocol.Context{Castellan: secret.Bytes(`{"type":"keystone_password","username":"u"}`)}
	for reason, refused := range map[kmip.ResultReason]bool{
		kmip.AuthenticationNotSuccessful: true, kmip.PermissionDenied: false, kmip.NotAuthorised: false,
	} {
		e := enter(t, mock.Config{}, nil)
		e.door.err = reason
		for _, who := range []*protocol.Context{nil, password} {
			err := e.everything(who)
			require.Equal(t, protocol.Forbidden, kind(err), reason)
			require.Equal(t, refused, err.(*protocol.Error).Retryable, reason)
		}
		require.Equal(t, []string{"map[]", "map[type:keystone_password username:u]"}, e.asked)
		var want []string
		if refused {
			want = e.asked
		}
		require.Equal(t, want, e.forgot, "%v", reason)
		err := e.everything(&protocol.Context{AuthToken: secret.Bytes("t")})
		require.Equal(t, protocol.Forbidden, kind(err))
		require.False(t, err.(*protocol.Error).Retryable)
		require.Equal(t, want, e.forgot, "%v", reason)
	}
}

// TestRefusalsOfTheCredential: what a server says that does not know it, and what one says that cannot tell now.
func TestRefusalsOfTheCredential(t *testing.T) {
	for reason, want := range map[kmip.ResultReason]protocol.Kind{
		kmip.InvalidMessage: protocol.Config, kmip.InvalidField: protocol.Config, kmip.FeatureNotSupported: protocol.Config,
		kmip.GeneralFailure: protocol.Config, kmip.UnknownTag: protocol.Config, kmip.UnknownEnumeration: protocol.Config,
		kmip.AuthenticationNotSuccessful: protocol.Forbidden, kmip.NotAuthorised: protocol.Forbidden, kmip.PermissionDenied: protocol.Forbidden,
		kmip.UnsupportedProtocolVersion: protocol.Config,
	} {
		e := enter(t, mock.Config{}, nil)
		e.door.err = reason
		err := e.everything(&protocol.Context{AuthToken: secret.Bytes("t")})
		require.Equal(t, want, kind(err), reason)
		blamed := want == protocol.Config && reason != kmip.UnsupportedProtocolVersion
		require.Equal(t, blamed, strings.Contains(err.Error(), "mode in [kmip]"), "%v: who knows the credential is not to be left", reason)
		require.Equal(t, blamed, strings.Contains(err.Error(), "in KMIP 1.0 and 1.1"), reason)
		require.Equal(t, reason == kmip.AuthenticationNotSuccessful, strings.Contains(err.Error(), "check tells which"), reason)
	}
	for _, v := range kmip.Versions() {
		e := enter(t, mock.Config{}, func(c *kmip.Config) { c.Version = v })
		e.door.err = kmip.IdentityUnavailable
		err := e.everything(&protocol.Context{AuthToken: secret.Bytes("t")})
		require.Equal(t, protocol.Unavailable, kind(err))
		require.True(t, err.(*protocol.Error).Retryable)
		require.Equal(t, "IdentityUnavailable", err.(*protocol.Error).Reason)
		_, err = e.GetKey(t.Context(), &protocol.Context{AuthToken: secret.Bytes("t")}, &protocol.GetKey{KeyID: protocol.NewUUID()})
		require.Equal(t, protocol.Unavailable, kind(err))
		require.Len(t, e.said, 2, "asked once each")
	}
}

// TestRefusalsBehindTheCredential: what a server says of one operation says nothing against the credential, unless it could
// not read the message.
func TestRefusalsBehindTheCredential(t *testing.T) {
	for reason, want := range map[kmip.ResultReason]protocol.Kind{
		kmip.InvalidField: protocol.InvalidRequest, kmip.FeatureNotSupported: protocol.Unsupported, kmip.GeneralFailure: protocol.Internal,
		kmip.AuthenticationNotSuccessful: protocol.Forbidden, kmip.InvalidMessage: protocol.Config,
	} {
		e := enter(t, mock.Config{Faults: []mock.Fault{{Operation: kmip.OpLocate, Action: mock.Fail, Reason: reason}}}, nil)
		_, err := e.ListKeys(t.Context(), &protocol.Context{AuthToken: secret.Bytes("t")}, &protocol.ListKeys{})
		require.Equal(t, want, kind(err), reason)
		require.Equal(t, want == protocol.Config, strings.Contains(err.Error(), "credential"), "%v", err)
	}
}

// TestTwoCredentials: in 1.0 and 1.1 nothing is sent rather than one of them.
func TestTwoCredentials(t *testing.T) {
	for _, v := range kmip.Versions() {
		e := enter(t, mock.Config{}, func(c *kmip.Config) {
			c.Version, c.Credentials = v, []kmip.Credential{kmip.PasswordCredential("u", []byte("p"))}
		})
		err := e.everything(&protocol.Context{AuthToken: secret.Bytes("t")})
		if v >= kmip.V1_2 {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, protocol.Config, kind(err))
		require.Contains(t, err.Error(), "username")
		require.Empty(t, e.said)
	}
}

// TestStandaloneSaysNothing of the caller, and nothing of one before.
func TestStandaloneSaysNothing(t *testing.T) {
	d := new(door)
	b := start(t, setting{mock: mock.Config{Authenticate: d.authenticate}, keymgr: isolating()})
	b.delete(&protocol.Context{AuthToken: secret.Bytes("t"), ProjectID: "p"}, b.create(&protocol.Context{AuthToken: secret.Bytes("t"), ProjectID: "p"}, 256))
	require.NotEmpty(t, d.said)
	for _, said := range d.said {
		require.Nil(t, said)
	}
}

// TestCheckOfAnOpenDoor: a server that believes every token shows everybody's keys to everybody.
func TestCheckOfAnOpenDoor(t *testing.T) {
	for _, open := range []bool{false, true} {
		e := enter(t, mock.Config{}, nil)
		e.open = open
		c, err := e.Check(t.Context(), &protocol.Context{AuthToken: secret.Bytes("t")}, &protocol.CheckOptions{})
		require.NoError(t, err)
		require.Equal(t, !open, c.OK)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "credential", last.Step)
		require.Equal(t, open, strings.Contains(last.Detail, "never issued"), last.Detail)
		require.Equal(t, open, strings.Contains(last.Advice, "must ask Keystone"), last.Advice)
		require.Equal(t, open, strings.Contains(last.Advice, "mode in [kmip] must be standalone"), last.Advice)
	}
}

// TestScopes: a token that is to be exchanged for one of another scope is, whichever way the scope is named. With the other
// token, the keys would be another project's.
func TestScopes(t *testing.T) {
	for _, scope := range []string{"project_id", "project_name", "domain_id", "domain_name", "trust_id"} {
		for kind, exchanged := range map[string]bool{"keystone_token": true, "token": false} {
			e := enter(t, mock.Config{}, nil)
			text := fmt.Sprintf(`{"type":%q,"token":"theirs",%q:"s"}`, kind, scope)
			_, err := e.ListKeys(t.Context(), &protocol.Context{Castellan: secret.Bytes(text)}, &protocol.ListKeys{})
			require.NoError(t, err)
			require.Equal(t, exchanged, len(e.asked) == 1, text)
			require.Equal(t, map[bool]string{true: "lent", false: "theirs"}[exchanged], string(e.said[0].AuthToken), text)
		}
	}
}

// TestRequestOfALentIdentity: who brings no token is found in the server's log by the request all the same.
func TestRequestOfALentIdentity(t *testing.T) {
	e := enter(t, mock.Config{}, nil)
	who := &protocol.Context{RequestID: "req", GlobalRequestID: "global", RemoteAddress: "ra", Timestamp: "ts", UserID: "alice"}
	_, err := e.ListKeys(t.Context(), who, &protocol.ListKeys{})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(10*time.Second), e.by, 5*time.Second, "Keystone has no more time than the operation")
	require.NotEmpty(t, e.said)
	for _, said := range e.said {
		require.Equal(t, []string{"req", "global", "ra", "ts"}, []string{said.RequestID, said.GlobalRequestID, said.RemoteAddress, said.Timestamp})
		require.Equal(t, "lent-user", said.UserID)
	}
}
