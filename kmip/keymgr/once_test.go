package keymgr_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// TestOnce breaks the conversation in every way the mock can, one or two times, in every operation that changes
// something, and counts what is there afterwards.
func TestOnce(t *testing.T) {
	actions := map[string]mock.Fault{
		"refuse":       {Action: mock.Refuse},
		"drop-request": {Action: mock.DropRequest}, "drop-response": {Action: mock.DropResponse},
		"garbage": {Action: mock.Garbage}, "truncate": {Action: mock.Truncate, Bytes: 100}, "truncate=0": {Action: mock.Truncate},
	}
	for name, fault := range actions {
		for _, count := range []int{1, 2} {
			for _, server := range []mock.Config{{}, {DecimalIDs: true}, {NoBatches: true}} {
				t.Run(fmt.Sprintf("%s:%d/decimal=%v/single=%v", name, count, server.DecimalIDs, server.NoBatches), func(t *testing.T) {
					t.Parallel()
					again := fault
					again.Count = count
					breakEach(t, server, again)
				})
			}
		}
	}
}

func breakEach(t *testing.T, server mock.Config, fault mock.Fault) {
	b := start(t, setting{mock: server, keymgr: isolating()})
	in := func(operations ...kmip.Operation) {
		for _, o := range operations {
			f := fault
			f.Operation = o
			b.server.Inject(f)
		}
	}
	in(kmip.OpCreate)
	id := b.create(alice, 256)
	require.Len(t, b.list(service), 1)

	in(kmip.OpRegister)
	stored := b.store(alice, passphrase())
	require.Len(t, b.list(service), 2)

	in(kmip.OpGet, kmip.OpRegister)
	twin := b.copy(alice, id)
	require.Len(t, b.list(service), 3)
	require.Equal(t, []byte(b.get(alice, id).Value), []byte(b.get(alice, twin).Value))

	in(kmip.OpActivate)
	b.create(alice, 256)
	require.Len(t, b.list(service), 4)

	in(kmip.OpCreateKeyPair)
	_, err := b.CreateKeyPair(context.Background(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
	require.NoError(t, err)
	require.Len(t, b.list(service), 6)

	in(kmip.OpCreate) // which the server then refuses for its length
	xts := b.create(alice, 512)
	require.Len(t, b.list(service), 7)
	in(kmip.OpDestroy)
	b.force(service, xts)
	require.Len(t, b.list(service), 6, "by force, and by a key id that may be a Name")

	for _, o := range b.list(service) {
		require.Equal(t, "active", o.State)
		in(kmip.OpDestroy)
		b.delete(alice, o.ID)
	}
	require.Empty(t, b.list(service))
	require.NotEqual(t, id, stored)
}

// TestHalfMade has an object that is made and cannot be activated leave nothing behind.
func TestHalfMade(t *testing.T) {
	b := start(t, setting{mock: mock.Config{Without: []kmip.Operation{kmip.OpActivate}}, keymgr: isolating()})
	_, err := b.CreateKey(context.Background(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	require.Equal(t, protocol.Unsupported, kind(err), "%v", err)
	_, err = b.CreateKeyPair(context.Background(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
	require.Equal(t, protocol.Unsupported, kind(err), "%v", err)
	require.Empty(t, b.list(service))
}

// TestHalfMadeElsewhere has the server go away that made an object which cannot be activated. Another, which does not know
// it, does not make it gone.
func TestHalfMadeElsewhere(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	b := start(t, setting{mock: mock.Config{PKI: pki}})
	other := start(t, setting{mock: mock.Config{PKI: pki}})
	config := b.server.Client()
	config.Hosts = append(config.Hosts, other.server.Addr())
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	m := keymgr.New(client, keymgr.Config{Activate: true, Timeout: 10 * time.Second})
	_, err = m.ListKeys(t.Context(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	b.server.Inject(mock.Fault{Operation: kmip.OpActivate, Action: mock.Fail, Reason: kmip.GeneralFailure, Count: 1},
		mock.Fault{Operation: kmip.OpActivate, Action: mock.DropRequest, Count: 1},
		mock.Fault{Operation: mock.Handshake, Action: mock.DropRequest, Count: 1000})
	_, err = m.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	e, ok := err.(*protocol.Error)
	require.True(t, ok)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Contains(t, e.Message, "the object stays behind under the Name ")
}

// TestUnknown has an outcome that cannot be known say so, name the server, and the Name or identifier under which an
// operator finds the object.
func TestUnknown(t *testing.T) {
	for _, server := range []mock.Config{{}, {DecimalIDs: true}, {NoBatches: true}} {
		for name, verb := range map[string]struct {
			lost []kmip.Operation
			do   func(ctx context.Context, b *bench, key *protocol.Object) error
		}{
			"create": {[]kmip.Operation{kmip.OpCreate, kmip.OpLocate}, func(ctx context.Context, b *bench, _ *protocol.Object) error {
				_, err := b.CreateKey(ctx, alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
				return err
			}},
			"pair": {[]kmip.Operation{kmip.OpCreateKeyPair, kmip.OpLocate}, func(ctx context.Context, b *bench, _ *protocol.Object) error {
				_, err := b.CreateKeyPair(ctx, alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
				return err
			}},
			"store": {[]kmip.Operation{kmip.OpRegister, kmip.OpLocate}, func(ctx context.Context, b *bench, _ *protocol.Object) error {
				_, err := b.StoreKey(ctx, alice, &protocol.StoreKey{Object: passphrase()})
				return err
			}},
			"copy": {[]kmip.Operation{kmip.OpRegister, kmip.OpLocate}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.CopyKey(ctx, alice, &protocol.CopyKey{KeyID: key.ID})
				return err
			}},
			"delete": {[]kmip.Operation{kmip.OpDestroy}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.DeleteKey(ctx, alice, &protocol.DeleteKey{KeyID: key.ID})
				return err
			}},
			"delete by force": {[]kmip.Operation{kmip.OpDestroy, kmip.OpGetAttributes}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.DeleteKey(ctx, service, &protocol.DeleteKey{KeyID: key.ID, Force: true})
				return err
			}},
		} {
			t.Run(fmt.Sprintf("%s/decimal=%v/single=%v", name, server.DecimalIDs, server.NoBatches), func(t *testing.T) {
				unknown(t, server, verb.do, append(lose(verb.lost[0]), mock.Fault{Action: mock.Refuse, Count: 1000}))
				if name != "copy" || !server.DecimalIDs { // it begins with a Locate there
					unknown(t, server, verb.do, lose(verb.lost...))
				}
			})
		}
	}
}

// lose are the faults that lose all answers to these operations.
func lose(operations ...kmip.Operation) (faults []mock.Fault) {
	for _, o := range operations {
		faults = append(faults, mock.Fault{Operation: o, Action: mock.DropResponse, Count: 1000})
	}
	return faults
}

// unknown loses the answer to what changes something, and either those to what would tell whether it did, or the server.
func unknown(t *testing.T, server mock.Config, do func(context.Context, *bench, *protocol.Object) error, faults []mock.Fault) {
	b := start(t, setting{mock: server, keymgr: isolating()})
	key := b.get(alice, b.create(alice, 256))
	key.Clear()
	b.server.Inject(faults...)
	err := do(t.Context(), b, key)
	e, ok := err.(*protocol.Error)
	require.True(t, ok, "%v", err)
	require.Equal(t, protocol.Unavailable, e.Kind)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Equal(t, b.server.Addr(), e.Server)
	if faults[0].Operation == kmip.OpDestroy {
		require.Contains(t, e.Message, "; the key "+key.ID+" may have been destroyed")
	} else {
		require.Regexp(t, "; the object may exist under the Name [0-9a-f-]{36}( or [0-9a-f-]{36})?$", e.Message)
		for _, o := range b.server.Inventory() { // of a pair, both
			require.True(t, o.Names[0] == key.ID || o.ID == key.ID || strings.Contains(e.Message, o.Names[0]), "%v", o)
		}
	}
}

// TestPlainestRecord has whatever can be made be refused once, for which the record may be the reason, and made after all
// with a record in one instance of its attribute.
func TestPlainestRecord(t *testing.T) {
	create := &protocol.CreateKey{Algorithm: "EC", Length: 256, Name: "name"}
	for operation, act := range map[kmip.Operation]func(b *bench) string{
		kmip.OpCreate:   func(b *bench) string { return b.create(alice, 256) },
		kmip.OpRegister: func(b *bench) string { return b.store(alice, passphrase()) },
		kmip.OpCreateKeyPair: func(b *bench) string {
			pair, err := b.CreateKeyPair(context.Background(), alice, create)
			require.NoError(b.t, err)
			require.Equal(b.t, 1, b.records(pair.PublicKeyID))
			return pair.PrivateKeyID
		},
	} {
		t.Run(operation.String(), func(t *testing.T) {
			b := start(t, setting{keymgr: isolating()})
			b.server.Inject(mock.Fault{Operation: operation, Action: mock.Fail, Reason: kmip.InvalidField})
			id := act(b)
			require.Equal(t, 1, b.records(id))
			require.NotEmpty(t, b.get(alice, id).Name)
			_, err := b.GetKey(context.Background(), bob, &protocol.GetKey{KeyID: id})
			require.Equal(t, protocol.NotFound, kind(err))
		})
	}
}

// records counts the instances of Application Specific Information that an object has.
func (b *bench) records(id string) int {
	b.t.Helper()
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	got, err := kmip.Do(context.Background(), client, &kmip.GetAttributes{UniqueIdentifier: id})
	require.NoError(b.t, err)
	return len(got.Attributes.Applications())
}

// TestLateTwin has a request come through after it was given up and made again, on a server that lets both have the Name.
// The key that was read before is still the one that is read, and deleting it leaves neither.
func TestLateTwin(t *testing.T) {
	b := start(t, setting{mock: mock.Config{DecimalIDs: true, Namesakes: true}, keymgr: isolating()})
	id := b.create(alice, 256)
	before := b.get(alice, id).Value
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	first, err := kmip.Do(context.Background(), client, &kmip.GetAttributes{UniqueIdentifier: "1"})
	require.NoError(t, err)
	var late kmip.Attributes
	for _, a := range first.Attributes {
		switch a.Tag {
		case ttlv.TagName, ttlv.TagApplicationSpecificInformation, ttlv.TagCryptographicAlgorithm, ttlv.TagCryptographicLength, ttlv.TagCryptographicUsageMask:
			late = append(late, a)
		}
	}
	_, err = kmip.Do(context.Background(), client, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: late})
	require.NoError(t, err)
	require.Len(t, b.server.Inventory(), 2)

	require.Equal(t, []byte(before), []byte(b.get(alice, id).Value))
	b.delete(alice, id)
	require.Empty(t, b.server.Inventory())
	_, err = b.DeleteKey(context.Background(), alice, &protocol.DeleteKey{KeyID: id})
	require.Equal(t, protocol.NotFound, kind(err))
}
