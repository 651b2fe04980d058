package keymgr_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	alice   = &protocol.Context{ProjectID: "project-a", UserID: "alice", RequestID: "req-1"}
	bob     = &protocol.Context{ProjectID: "project-b", UserID: "bob"}
	service *protocol.Context
)

// setting is a kind of server and a manager for it.
type setting struct {
	mock   mock.Config
	kmip   kmip.Version
	keymgr keymgr.Config
}

// bench is a manager at work on a mock.
type bench struct {
	*keymgr.Manager
	server *mock.Server
	t      *testing.T
	left   []string // of LeftBehind: server and Name
}

func start(t *testing.T, s setting) *bench {
	t.Helper()
	server, err := mock.Start(s.mock)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	config := server.Client()
	config.Version, config.MaxRetries, config.RetryInterval = s.kmip, 3, time.Millisecond
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	s.keymgr.Timeout = time.Minute
	return &bench{keymgr.New(client, s.keymgr), server, t, nil}
}

func isolating() keymgr.Config { return keymgr.Config{Activate: true, ProjectIsolation: true} }

func (b *bench) create(who *protocol.Context, bits int) string {
	b.t.Helper()
	made, err := b.CreateKey(context.Background(), who, &protocol.CreateKey{Algorithm: "aes", Length: bits, Name: "volume key"})
	require.NoError(b.t, err)
	require.True(b.t, protocol.IsUUID(made.KeyID), made.KeyID)
	return made.KeyID
}

func (b *bench) store(who *protocol.Context, o *protocol.Object) string {
	b.t.Helper()
	made, err := b.StoreKey(context.Background(), who, &protocol.StoreKey{Object: o})
	require.NoError(b.t, err)
	require.True(b.t, protocol.IsUUID(made.KeyID), made.KeyID)
	return made.KeyID
}

func (b *bench) copy(who *protocol.Context, id string) string {
	b.t.Helper()
	made, err := b.CopyKey(context.Background(), who, &protocol.CopyKey{KeyID: id})
	require.NoError(b.t, err)
	require.True(b.t, protocol.IsUUID(made.KeyID), made.KeyID)
	return made.KeyID
}

func (b *bench) get(who *protocol.Context, id string) *protocol.Object {
	b.t.Helper()
	o, err := b.GetKey(context.Background(), who, &protocol.GetKey{KeyID: id})
	require.NoError(b.t, err)
	return o
}

func (b *bench) delete(who *protocol.Context, id string) {
	b.t.Helper()
	_, err := b.DeleteKey(context.Background(), who, &protocol.DeleteKey{KeyID: id})
	require.NoError(b.t, err)
}

func (b *bench) force(who *protocol.Context, id string) {
	b.t.Helper()
	_, err := b.DeleteKey(context.Background(), who, &protocol.DeleteKey{KeyID: id, Force: true})
	require.NoError(b.t, err)
}

func (b *bench) list(who *protocol.Context) []*protocol.Object {
	b.t.Helper()
	l, err := b.ListKeys(context.Background(), who, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(b.t, err)
	return l.Objects
}

// kind is the kind of the error, "" for none.
func kind(err error) protocol.Kind {
	if e, ok := err.(*protocol.Error); ok {
		return e.Kind
	}
	if err != nil {
		return protocol.Kind(fmt.Sprintf("%T", err))
	}
	return ""
}

func passphrase() *protocol.Object {
	return &protocol.Object{Type: protocol.Passphrase, Name: "pass", Value: secret.Bytes("correct horse")}
}

// settings are all kinds of servers that there are.
func settings() map[string]setting {
	all := map[string]setting{}
	for _, v := range append(kmip.Versions(), 0) {
		for _, activate := range []bool{true, false} {
			for _, decimal := range []bool{false, true} {
				for _, single := range []bool{false, true} {
					name := fmt.Sprintf("%v/activate=%v/decimal=%v/single=%v", v, activate, decimal, single)
					all[name] = setting{
						mock:   mock.Config{DecimalIDs: decimal, NoBatches: single},
						kmip:   v,
						keymgr: keymgr.Config{Activate: activate, ProjectIsolation: true},
					}
				}
			}
		}
	}
	return all
}

func TestLife(t *testing.T) {
	for name, s := range settings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, s)
			id := b.create(alice, 256)
			key := b.get(alice, id)
			require.Equal(t, "AES", key.Algorithm)
			require.Equal(t, 256, key.BitLength)
			require.Len(t, key.Value, 32)
			require.Equal(t, "volume key", key.Name)
			require.Equal(t, id, key.ID)
			require.InDelta(t, time.Now().Unix(), key.Created, 60)
			require.Equal(t, map[bool]string{true: "active", false: "pre-active"}[s.keymgr.Activate], key.State)

			twin := b.copy(alice, id)
			require.NotEqual(t, id, twin)
			require.Equal(t, []byte(key.Value), []byte(b.get(alice, twin).Value))

			stored := b.store(alice, passphrase())
			require.Equal(t, []byte("correct horse"), []byte(b.get(alice, stored).Value))
			require.Len(t, b.list(alice), 3)

			for _, id := range []string{id, twin, stored} {
				b.delete(alice, id)
				_, err := b.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: id})
				require.Equal(t, protocol.NotFound, kind(err))
				_, err = b.DeleteKey(context.Background(), alice, &protocol.DeleteKey{KeyID: id})
				require.Equal(t, protocol.NotFound, kind(err))
			}
			require.Empty(t, b.list(service))
		})
	}
}

// TestRoundTrips counts what each operation costs on a conforming server.
func TestRoundTrips(t *testing.T) {
	for _, v := range append(kmip.Versions(), 0) {
		for _, activate := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/activate=%v", v, activate), func(t *testing.T) {
				b := start(t, setting{kmip: v, keymgr: keymgr.Config{Activate: activate, ProjectIsolation: true}})
				costs := func(want int, what string, do func()) {
					t.Helper()
					before := b.server.Requests()
					do()
					require.Equal(t, want, b.server.Requests()-before, what)
				}
				var id, twin, stored string
				costs(1, "create", func() { id = b.create(alice, 256) })
				costs(1, "store", func() { stored = b.store(alice, passphrase()) })
				costs(1, "get", func() { b.get(alice, id) })
				costs(2, "copy", func() { twin = b.copy(alice, id) })
				costs(1, "delete by the service, by force", func() { b.force(service, id) })
				costs(2, "delete by a project, whose the key must be", func() { b.delete(alice, twin) })
				costs(2, "delete by the service, if nobody uses the key", func() { b.delete(service, stored) })
			})
		}
	}
}

func TestObjectTypes(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	private, public, certificate := rsaObjects(t)
	for _, o := range []*protocol.Object{
		{Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 128, Name: "s", Value: bytes.Repeat([]byte{7}, 16)},
		{Type: protocol.SymmetricKey, Algorithm: "DESede", BitLength: 168, Value: bytes.Repeat([]byte{7}, 24)},
		{Type: protocol.SymmetricKey, Algorithm: "hmac-sha256", BitLength: 256, Value: bytes.Repeat([]byte{7}, 32)},
		private, public, certificate, passphrase(),
		{Type: protocol.OpaqueData, Name: "o", Value: secret.Bytes("anything")},
	} {
		want := bytes.Clone(o.Value)
		id := b.store(alice, o)
		for _, id := range []string{id, b.copy(alice, id)} {
			got := b.get(alice, id)
			require.Equal(t, o.Type, got.Type)
			require.Equal(t, want, []byte(got.Value))
			require.Equal(t, o.BitLength, got.BitLength)
			require.Equal(t, o.Name, got.Name)
			b.delete(alice, id)
		}
	}
}

// TestXTS has keys made here that the server would not make: two halves, each of which is as secret as a key of its own.
func TestXTS(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	for _, bits := range []int{384, 512} {
		one, other := b.get(alice, b.create(alice, bits)), b.get(alice, b.create(alice, bits))
		half := bits / 16
		quarters := map[string]bool{string(make([]byte, half/2)): true} // of all keys, and zeros
		for _, key := range []*protocol.Object{one, other} {
			require.Len(t, key.Value, 2*half)
			require.Equal(t, bits, key.BitLength)
			for quarter := range slices.Chunk(key.Value, half/2) {
				require.False(t, quarters[string(quarter)], "%d", bits)
				quarters[string(quarter)] = true
			}
		}
	}
}

// TestNotMadeHere has a server refuse to make keys that nobody makes in its place: for a reason that is not their length,
// and of an algorithm that is not AES.
func TestNotMadeHere(t *testing.T) {
	for _, test := range []struct {
		algorithm string
		bits      int
		reason    kmip.ResultReason
		want      protocol.Kind
	}{
		{"AES", 384, kmip.PermissionDenied, protocol.Forbidden},
		{"AES", 512, kmip.PermissionDenied, protocol.Forbidden},
		{"AES", 256, kmip.CryptographicFailure, protocol.Internal},
		{"HMAC-SHA384", 384, kmip.InvalidField, protocol.InvalidRequest},
		{"HMAC-SHA512", 512, kmip.InvalidField, protocol.InvalidRequest},
	} {
		b := start(t, setting{keymgr: isolating()})
		b.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: test.reason, Count: 1000})
		_, err := b.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: test.algorithm, Length: test.bits})
		require.Equal(t, test.want, kind(err), "%v: %v", test, err)
		require.Empty(t, b.server.Inventory(), "%v", test)
	}
}

func TestBadRequests(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	ctx := context.Background()
	for _, r := range []struct {
		algorithm string
		bits      int
	}{{"AES", 255}, {"AES", 8}, {"AES", 1024}, {"ROT13", 256}, {"", 256}} {
		_, err := b.CreateKey(ctx, alice, &protocol.CreateKey{Algorithm: r.algorithm, Length: r.bits})
		require.Equal(t, protocol.InvalidRequest, kind(err), "%v: %v", r, err)
	}
	before := b.server.Requests()
	private, public, _ := rsaObjects(t)
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	edwards, err := x509.MarshalPKIXPublicKey(edKey)
	require.NoError(t, err)
	for name, o := range map[string]*protocol.Object{
		"parity":        {Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 112, Value: make([]byte, 16)},
		"private, cut":  {Type: protocol.PrivateKey, Algorithm: "RSA", BitLength: 2048, Value: private.Value[:len(private.Value)-10]},
		"private, more": {Type: protocol.PrivateKey, Algorithm: "RSA", BitLength: 2048, Value: append(private.Value, 0)},
		"public, cut":   {Type: protocol.PublicKey, Algorithm: "RSA", BitLength: 2048, Value: public.Value[:len(public.Value)-10]},
		"short":         {Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 256, Value: make([]byte, 31)},
		"long":          {Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 256, Value: make([]byte, 33)},
		"empty":         {Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 0, Value: []byte{}},
		"no algorithm":  {Type: protocol.SymmetricKey, BitLength: 128, Value: make([]byte, 16)},
		"RSA":           {Type: protocol.PrivateKey, Algorithm: "RSA", BitLength: 4096, Value: private.Value},
		"Ed25519":       {Type: protocol.PublicKey, Algorithm: "Ed25519", BitLength: 255, Value: edwards},
		"no cerificate": {Type: protocol.Certificate, Value: []byte("no")},
	} {
		_, err := b.StoreKey(ctx, alice, &protocol.StoreKey{Object: o})
		require.Equal(t, protocol.InvalidRequest, kind(err), "%s: %v", name, err)
	}
	require.Equal(t, before, b.server.Requests(), "an object that cannot be right is not sent")
	require.Empty(t, b.list(service), "what was refused left nothing behind")
}

func TestProjects(t *testing.T) {
	for _, decimal := range []bool{false, true} {
		b := start(t, setting{mock: mock.Config{DecimalIDs: decimal}, keymgr: isolating()})
		ctx := context.Background()
		hers, nobodys := b.create(alice, 256), b.create(service, 256)
		absent := protocol.NewUUID()
		for _, id := range []string{hers, nobodys, absent} {
			_, got := b.GetKey(ctx, bob, &protocol.GetKey{KeyID: id})
			_, metadata := b.GetKey(ctx, bob, &protocol.GetKey{KeyID: id, MetadataOnly: true})
			_, copied := b.CopyKey(ctx, bob, &protocol.CopyKey{KeyID: id})
			_, deleted := b.DeleteKey(ctx, bob, &protocol.DeleteKey{KeyID: id, Force: true})
			for _, err := range []error{got, metadata, copied, deleted} {
				e, ok := err.(*protocol.Error)
				require.True(t, ok)
				e.Message = strings.ReplaceAll(e.Message, id, "ID")
				want := &protocol.Error{Kind: protocol.NotFound, Reason: "ItemNotFound", Message: "no key ID", Server: b.server.Addr()}
				require.Equal(t, want, e, "an object of others and one that is not there look the same")
			}
		}
		require.Empty(t, b.list(bob))
		require.Len(t, b.list(alice), 1)
		require.Len(t, b.list(service), 2)
		b.get(alice, hers)
		b.get(service, hers)

		given := b.copy(&protocol.Context{}, hers) // a service credential, as in a volume transfer
		_, err := b.GetKey(ctx, alice, &protocol.GetKey{KeyID: given})
		require.Equal(t, protocol.NotFound, kind(err), "a copy belongs to who made it")
		b.delete(service, hers)
	}
}

// TestEmptyProject has callers whose project is an empty text: no operation takes somebody for the service itself.
func TestEmptyProject(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	ctx := context.Background()
	id, absent := b.create(alice, 256), protocol.NewUUID()
	for name, who := range map[string]*protocol.Context{
		"user": {EmptyProject: "project_id", UserID: "u"}, "token": {EmptyProject: "tenant", AuthToken: secret.Bytes("t")},
		"service token": {EmptyProject: "project", ServiceToken: secret.Bytes("t")}, "castellan": {EmptyProject: "project_id", Castellan: secret.Bytes("{}")},
	} {
		before := b.server.Requests()
		_, created := b.CreateKey(ctx, who, &protocol.CreateKey{Algorithm: "AES", Length: 256})
		_, paired := b.CreateKeyPair(ctx, who, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		_, stored := b.StoreKey(ctx, who, &protocol.StoreKey{Object: passphrase()})
		_, got := b.GetKey(ctx, who, &protocol.GetKey{KeyID: id})
		_, missed := b.GetKey(ctx, who, &protocol.GetKey{KeyID: absent})
		_, copied := b.CopyKey(ctx, who, &protocol.CopyKey{KeyID: id})
		_, deleted := b.DeleteKey(ctx, who, &protocol.DeleteKey{KeyID: id, Force: true})
		_, listed := b.ListKeys(ctx, who, &protocol.ListKeys{})
		_, added := b.AddConsumer(ctx, who, consumer(id))
		_, removed := b.RemoveConsumer(ctx, who, consumer(id))
		for _, err := range []error{created, paired, stored, got, missed, copied, deleted, listed, added, removed} {
			require.Equal(t, protocol.InvalidRequest, kind(err), name)
			require.ErrorContains(t, err, "context."+who.EmptyProject+":")
		}
		require.Equal(t, before, b.server.Requests(), "nothing is sent")
	}
	require.Len(t, b.list(&protocol.Context{EmptyProject: "project_id"}), 1, "nobody at all is the service itself")
	b = start(t, setting{keymgr: keymgr.Config{}})
	b.create(&protocol.Context{EmptyProject: "project_id", UserID: "u"}, 256)
}

// TestAdministratorDeletes has an administrator of one project delete another's key: what is forbidden to him is not told to
// be gone, which it would stay undeleted for. Everything else tells him no more than others.
func TestAdministratorDeletes(t *testing.T) {
	for _, decimal := range []bool{false, true} {
		b := start(t, setting{mock: mock.Config{DecimalIDs: decimal}, keymgr: isolating()})
		ctx := context.Background()
		yes, no := true, false
		admin := &protocol.Context{ProjectID: "project-b", UserID: "root", IsAdmin: &yes}
		hers, nobodys, own := b.create(alice, 256), b.create(service, 256), b.create(admin, 256)
		for _, id := range []string{hers, nobodys} {
			_, err := b.DeleteKey(ctx, admin, &protocol.DeleteKey{KeyID: id, Force: true})
			require.Equal(t, protocol.Forbidden, kind(err))
			require.ErrorContains(t, err, "another project's")
			_, err = b.DeleteKey(ctx, &protocol.Context{ProjectID: "project-b", IsAdmin: &no}, &protocol.DeleteKey{KeyID: id})
			require.Equal(t, protocol.NotFound, kind(err))
			_, err = b.GetKey(ctx, admin, &protocol.GetKey{KeyID: id})
			require.Equal(t, protocol.NotFound, kind(err))
			_, err = b.AddConsumer(ctx, admin, consumer(id))
			require.Equal(t, protocol.NotFound, kind(err))
		}
		require.Len(t, b.list(admin), 1)
		_, err := b.DeleteKey(ctx, admin, &protocol.DeleteKey{KeyID: protocol.NewUUID()})
		require.Equal(t, protocol.NotFound, kind(err))
		b.delete(admin, own)
		b.delete(&protocol.Context{IsAdmin: &yes}, hers)
		_, err = b.DeleteKey(ctx, admin, &protocol.DeleteKey{KeyID: hers})
		require.Equal(t, protocol.NotFound, kind(err))
		require.Len(t, b.list(service), 1)
	}
}

// TestRefusedDelete has a server that lets this client destroy nothing. A key that lives on is not marked as compromised, and its
// state told.
func TestRefusedDelete(t *testing.T) {
	for _, force := range []bool{false, true} {
		for active, state := range map[bool]string{true: "deactivated", false: "pre-active"} {
			config := keymgr.Config{Activate: active, ProjectIsolation: true}
			b := start(t, setting{mock: mock.Config{Without: []kmip.Operation{kmip.OpDestroy}}, keymgr: config})
			id := b.create(alice, 256)
			_, err := b.DeleteKey(context.Background(), alice, &protocol.DeleteKey{KeyID: id, Force: force})
			require.Equal(t, protocol.Unsupported, kind(err), "%v", err)
			require.Equal(t, state, b.get(alice, id).State)
			require.Equal(t, active, strings.Contains(err.Error(), "revoked"), "%v", err)
		}
	}
}

// TestSecondRecord has an object whose record somebody has added another one to.
func TestSecondRecord(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	for _, namespace := range []string{"openstack", "openstack-project-id"} {
		id := b.create(service, 256)
		for _, project := range []string{"project-a", "project-b"} {
			data := map[string]string{"openstack": fmt.Sprintf(`{"openstack-project-id":%q}`, project)}[namespace]
			note := kmip.ApplicationAttribute(namespace, cmp.Or(data, project))
			_, err := kmip.Do(context.Background(), client, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: note})
			require.NoError(t, err)
		}
		b.get(alice, id)
		_, err := b.GetKey(context.Background(), bob, &protocol.GetKey{KeyID: id})
		require.Equal(t, protocol.NotFound, kind(err), "the first counts")
	}
}

// TestRecordOfAnotherKind has a key to which somebody has added a record in the other form, of another project. The key
// stays its own project's, under its own name.
func TestRecordOfAnotherKind(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	id := b.create(alice, 256)
	b.note(id, "openstack", `{"openstack-project-id":"project-b","openstack-name":"other"}`)
	_, err := b.GetKey(t.Context(), bob, &protocol.GetKey{KeyID: id})
	require.Equal(t, protocol.NotFound, kind(err))
	require.Equal(t, "volume key", b.get(alice, id).Name)
}

// note has somebody else note something on an object.
func (b *bench) note(id, namespace, data string) {
	b.t.Helper()
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	_, err := kmip.Do(b.t.Context(), client, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.ApplicationAttribute(namespace, data)})
	require.NoError(b.t, err)
}

// noted is what is noted on an object.
func (b *bench) noted(id string) []kmip.ApplicationInformation {
	b.t.Helper()
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	got, err := kmip.Do(b.t.Context(), client, &kmip.GetAttributes{UniqueIdentifier: id})
	require.NoError(b.t, err)
	return got.Attributes.Applications()
}

// TestRecordAsWritten holds a record against how it has always been written: by another version of this program, or beside
// one, a key would be nobody's.
func TestRecordAsWritten(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	for _, test := range []struct {
		who    *protocol.Context
		name   string
		plain  bool // the server refuses it at first
		record []kmip.ApplicationInformation
	}{
		{alice, "volume key", false, []kmip.ApplicationInformation{
			{Namespace: "openstack-project-id", Data: "project-a"},
			{Namespace: "openstack-user-id", Data: "alice"},
			{Namespace: "openstack-name", Data: "volume key"},
			{Namespace: "openstack-request-id", Data: "req-1"},
		}},
		{alice, "schl\u00fcssel \U0001f511\x7f\u0080", true, []kmip.ApplicationInformation{{Namespace: "openstack", Data: `{"openstack-project-id":"project-a",` +
			`"openstack-user-id":"alice","openstack-name":"schl\u00fcssel \ud83d\udd11` + "\x7f" + `\u0080","openstack-request-id":"req-1"}`}}},
		{bob, "not ASCII alone was the trouble", false, []kmip.ApplicationInformation{
			{Namespace: "openstack-project-id", Data: "project-b"},
			{Namespace: "openstack-user-id", Data: "bob"},
			{Namespace: "openstack-name", Data: "not ASCII alone was the trouble"},
		}},
		{service, "\u0080", true, []kmip.ApplicationInformation{{Namespace: "openstack", Data: `{"openstack-name":"\u0080"}`}}},
		{service, "name", false, []kmip.ApplicationInformation{{Namespace: "openstack-name", Data: "name"}}},
		{&protocol.Context{ProjectID: "p"}, "name", true, []kmip.ApplicationInformation{
			{Namespace: "openstack", Data: `{"openstack-project-id":"p","openstack-name":"name"}`},
		}},
	} {
		if test.plain {
			b.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.InvalidField})
		}
		made, err := b.CreateKey(t.Context(), test.who, createAES(test.name))
		require.NoError(t, err, test.name)
		require.Equal(t, test.record, b.noted(made.KeyID))
		require.Equal(t, test.name, b.get(test.who, made.KeyID).Name)
	}
}

func TestExpiration(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	made, err := b.CreateKey(context.Background(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256, Expiration: &at})
	require.NoError(t, err)
	for _, id := range []string{made.KeyID, b.copy(alice, made.KeyID)} {
		client := kmip.NewClient(b.server.Client())
		defer client.Close()
		got, err := kmip.Do(context.Background(), client, &kmip.GetAttributes{UniqueIdentifier: id})
		require.NoError(t, err)
		until, ok := got.Attributes.Time(0x42002F)
		require.True(t, ok)
		require.Equal(t, at.UTC(), until)
	}
}

// TestExpired asks for what has expired already. A strict server would make it and not activate it.
func TestExpired(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	at := time.Now().Add(-time.Second)
	_, err := b.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256, Expiration: &at})
	_, pairErr := b.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256, Expiration: &at})
	_, storeErr := b.StoreKey(t.Context(), alice, &protocol.StoreKey{Object: passphrase(), Expiration: &at})
	for _, err := range []error{err, pairErr, storeErr} {
		require.Equal(t, protocol.InvalidRequest, kind(err))
		require.ErrorContains(t, err, "args.expiration: must be in the future")
	}
	require.Zero(t, b.server.Requests())
}

// TestCopyOfExpired copies a key that has expired, for the data that it still encrypts.
func TestCopyOfExpired(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	made, err := kmip.Do(t.Context(), client, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES), kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt),
		kmip.TimeAttribute(ttlv.TagActivationDate, time.Unix(1, 0)), kmip.TimeAttribute(ttlv.TagDeactivationDate, time.Unix(2, 0)),
	}})
	require.NoError(t, err)
	key, copied := b.get(service, made.UniqueIdentifier), b.get(service, b.copy(service, made.UniqueIdentifier))
	require.Equal(t, "deactivated", key.State)
	require.Equal(t, "pre-active", copied.State)
	require.Equal(t, key.Value, copied.Value)
}

func TestPair(t *testing.T) {
	for name, s := range settings() {
		if !strings.HasPrefix(name, "1.4") && !strings.HasPrefix(name, "2.1") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := start(t, s)
			pair, err := b.CreateKeyPair(context.Background(), alice, &protocol.CreateKey{Algorithm: "RSA", Length: 2048, Name: "pair"})
			require.NoError(t, err)
			private, public := b.get(alice, pair.PrivateKeyID), b.get(alice, pair.PublicKeyID)
			require.Equal(t, protocol.PrivateKey, private.Type)
			require.Equal(t, protocol.PublicKey, public.Type)
			for _, half := range []*protocol.Object{private, public} {
				require.Equal(t, "RSA", half.Algorithm)
				require.Equal(t, 2048, half.BitLength)
				require.Equal(t, "pair", half.Name)
				require.Equal(t, map[bool]string{true: "active", false: "pre-active"}[s.keymgr.Activate], half.State)
				b.delete(alice, half.ID)
			}
			require.Empty(t, b.list(service))
		})
	}
}

// TestLengthLeftOut stores keys without saying how long they are.
func TestLengthLeftOut(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	key := func(bytes int) *protocol.Object {
		return &protocol.Object{Type: protocol.SymmetricKey, Algorithm: "AES", Value: make(secret.Bytes, bytes)}
	}
	for _, bytes := range []int{16, 32, 64} {
		require.Equal(t, bytes*8, b.get(alice, b.store(alice, key(bytes))).BitLength)
	}
	_, err := b.StoreKey(t.Context(), alice, &protocol.StoreKey{Object: key(0)})
	require.Equal(t, protocol.InvalidRequest, kind(err))
}

// TestUsage holds what objects are for against what their users do with them: a server refuses a key any other use.
func TestUsage(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	private, public, certificate := rsaObjects(t)
	hmac := &protocol.Object{Type: protocol.SymmetricKey, Algorithm: "HMAC-SHA256", BitLength: 256, Value: make(secret.Bytes, 32)}
	pair, err := b.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "RSA", Length: 2048})
	require.NoError(t, err)
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	encrypts, authenticates := kmip.UsageEncrypt|kmip.UsageDecrypt, kmip.UsageMACGenerate|kmip.UsageMACVerify
	signs, verifies := kmip.UsageSign|kmip.UsageDecrypt, kmip.UsageVerify|kmip.UsageEncrypt
	for _, test := range []struct {
		what, id string
		usage    kmip.UsageMask
	}{
		{"AES", b.create(alice, 256), encrypts},
		{"HMAC", b.store(alice, hmac), authenticates},
		{"private", b.store(alice, private), signs},
		{"public", b.store(alice, public), verifies},
		{"made private", pair.PrivateKeyID, signs},
		{"made public", pair.PublicKeyID, verifies},
		{"certificate", b.store(alice, certificate), kmip.UsageVerify},
		{"passphrase", b.store(alice, passphrase()), kmip.UsageDeriveKey},
	} {
		got, err := kmip.Do(t.Context(), client, &kmip.GetAttributes{UniqueIdentifier: test.id})
		require.NoError(t, err)
		require.Equal(t, test.usage, kmip.UsageMask(got.Attributes.Int(ttlv.TagCryptographicUsageMask)), test.what)
	}
}

// TestPairOfNoSuchKind asks for pairs that there are not. Nothing is made of what cannot be meant, and no server is
// blamed for it.
func TestPairOfNoSuchKind(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	b.create(alice, 256)
	before := b.server.Requests()
	for _, args := range []*protocol.CreateKey{{Algorithm: "ROT13", Length: 256}, {Length: 2048}} {
		_, err := b.CreateKeyPair(t.Context(), alice, args)
		require.Equal(t, protocol.InvalidRequest, kind(err), "%v", err)
		require.Empty(t, err.(*protocol.Error).Server)
	}
	require.Equal(t, before, b.server.Requests())
}

// TestStates are in words, of which a caller knows what a key is good for.
func TestStates(t *testing.T) {
	for state, word := range map[kmip.State]string{
		0: "", kmip.PreActive: "pre-active", kmip.Active: "active", kmip.Deactivated: "deactivated", kmip.Compromised: "compromised",
		9: kmip.State(9).String(),
	} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := shows(m, asked, asked, alice.ProjectID)
			if p := items[0].Payload.(*kmip.GetAttributesResponse); state != 0 {
				p.Attributes = append(p.Attributes, kmip.EnumAttribute(ttlv.TagState, state))
			}
			return items
		})
		o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: asked, MetadataOnly: true})
		require.NoError(t, err)
		require.Equal(t, word, o.State)
	}
}

// TestRefusals is what callers are told of each reason. By the kind Nova and Cinder decide whether a key is gone, whether
// it is worth trying again, and whom to call.
func TestRefusals(t *testing.T) {
	for want, reasons := range map[protocol.Kind][]kmip.ResultReason{
		protocol.NotFound: {kmip.ItemNotFound, kmip.ObjectNotFound, kmip.ObjectDestroyed},
		protocol.Forbidden: {
			kmip.PermissionDenied, kmip.AuthenticationNotSuccessful, kmip.NotAuthorised, kmip.AttestationRequired, kmip.AttestationFailed,
			kmip.Sensitive, kmip.NotExtractable, kmip.BadPassword, kmip.InvalidTicket,
		},
		protocol.InvalidRequest: {
			kmip.InvalidField, kmip.MissingData, kmip.InvalidAttribute, kmip.InvalidAttributeValue, kmip.NumericRange, kmip.InvalidDataType,
			kmip.BadCryptographicParameters, kmip.IllegalOperation, kmip.IncompatibleCryptographicUsageMask, kmip.IllegalObjectType,
			kmip.InvalidObjectType, kmip.WrongKeyLifecycleState, kmip.NonUniqueNameAttribute, kmip.ConstraintViolation,
		},
		protocol.Config: {kmip.UnknownObjectGroup},
		protocol.Unsupported: {
			kmip.OperationNotSupported, kmip.FeatureNotSupported, kmip.InvalidMessage, kmip.KeyFormatTypeNotSupported,
			kmip.KeyCompressionTypeNotSupported, kmip.ApplicationNamespaceNotSupported, kmip.UnsupportedAttribute,
			kmip.UnsupportedCryptographicParameters, kmip.ResponseTooLarge, kmip.ProtectionStorageUnavailable,
			kmip.PrivateProtectionStorageUnavailable, kmip.PublicProtectionStorageUnavailable,
		},
		protocol.Unavailable: {kmip.ServerLimitExceeded, kmip.IdentityUnavailable},
		protocol.Internal:    {kmip.GeneralFailure, kmip.CryptographicFailure},
	} {
		for _, reason := range reasons {
			m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem { return refuses(m, reason) })
			_, err := m.CreateKey(t.Context(), alice, createAES(""))
			require.Equal(t, want, kind(err), "%v: %v", reason, err)
			e := err.(*protocol.Error)
			require.Equal(t, reason.String(), e.Reason)
			require.Equal(t, want == protocol.Unavailable, e.Retryable, reason)
			require.NotEmpty(t, e.Server, reason)
			require.False(t, e.MaybeExecuted, reason)
		}
	}
}

// TestFormsOfKeys stores keys in each form that there is, without saying how long they are. The server is told the form
// that a key has: in another nobody could read it.
func TestFormsOfKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	public := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		return der
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return der
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	require.NoError(t, err)
	b := start(t, setting{keymgr: isolating()})
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	for _, test := range []struct {
		algorithm string
		kind      protocol.ObjectType
		der       []byte
		format    kmip.KeyFormatType
		bits      int
	}{
		{"RSA", protocol.PublicKey, x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), kmip.PKCS1, 2048},
		{"RSA", protocol.PublicKey, public(&rsaKey.PublicKey), kmip.X509, 2048},
		{"RSA", protocol.PrivateKey, x509.MarshalPKCS1PrivateKey(rsaKey), kmip.PKCS1, 2048},
		{"RSA", protocol.PrivateKey, pkcs8(rsaKey), kmip.PKCS8, 2048},
		{"EC", protocol.PublicKey, public(&ecKey.PublicKey), kmip.X509, 384},
		{"EC", protocol.PrivateKey, sec1, kmip.ECPrivateKey, 384},
		{"EC", protocol.PrivateKey, pkcs8(ecKey), kmip.PKCS8, 384},
	} {
		o := &protocol.Object{Type: test.kind, Algorithm: test.algorithm, Value: test.der}
		id := b.store(alice, o)
		got, err := kmip.Do(t.Context(), client, &kmip.Get{UniqueIdentifier: id})
		require.NoError(t, err)
		require.Equal(t, test.format, got.Object.KeyBlock.Format, "%s %s", test.algorithm, test.kind)
		require.Equal(t, test.bits, b.get(alice, id).BitLength, "%s %s", test.algorithm, test.kind)
		o.BitLength = 512
		_, err = b.StoreKey(t.Context(), alice, &protocol.StoreKey{Object: o})
		require.Equal(t, protocol.InvalidRequest, kind(err), "%s %s: %v", test.algorithm, test.kind, err)
	}
}

// TestUnfitServers has clients of servers that cannot serve them, which only the operator can mend, and of none, which may
// come back: Nova tries again where it may help.
func TestUnfitServers(t *testing.T) {
	server, err := mock.Start(mock.Config{Versions: mock.VersionRange{Min: kmip.V1_0, Max: kmip.V1_0}})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	foreign, err := mock.NewPKI()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		change func(*kmip.Config)
		want   protocol.Error
	}{
		"version":     {func(c *kmip.Config) { c.Version = kmip.V1_1 }, protocol.Error{Kind: protocol.Config, Server: server.Addr(), Message: "see kmip_version"}},
		"certificate": {func(c *kmip.Config) { c.TLS.Roots = foreign.Roots }, protocol.Error{Kind: protocol.Config, Server: server.Addr(), Message: "ca_certs"}},
		"nobody":      {func(c *kmip.Config) { c.Hosts = []string{nobody} }, protocol.Error{Kind: protocol.Unavailable, Retryable: true, Server: nobody, Message: "refused"}},
	} {
		config := server.Client()
		config.RetryInterval = time.Millisecond
		test.change(&config)
		client := kmip.NewClient(config)
		defer client.Close()
		_, err := keymgr.New(client, lasting(10*time.Second)).CreateKey(t.Context(), alice, createAES(""))
		require.ErrorContains(t, err, test.want.Message, name)
		got := *err.(*protocol.Error)
		got.Message = test.want.Message
		require.Equal(t, test.want, got, name)
	}
}
