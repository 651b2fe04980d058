package keymgr_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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

// TestUnknownOutcomeNamesTheObject has an outcome that cannot be known say so, name the server, and the Name or identifier under which an
// operator finds the object.
func TestUnknownOutcomeNamesTheObject(t *testing.T) {
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
			"add a consumer": {[]kmip.Operation{kmip.OpAddAttribute}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.AddConsumer(ctx, alice, consumer(key.ID))
				return err
			}},
			"remove a consumer": {[]kmip.Operation{kmip.OpDeleteAttribute}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.AddConsumer(ctx, alice, consumer(key.ID))
				require.NoError(b.t, err)
				_, err = b.RemoveConsumer(ctx, alice, consumer(key.ID))
				return err
			}},
			"delete by force": {[]kmip.Operation{kmip.OpDestroy, kmip.OpGetAttributes}, func(ctx context.Context, b *bench, key *protocol.Object) error {
				_, err := b.DeleteKey(ctx, service, &protocol.DeleteKey{KeyID: key.ID, Force: true})
				return err
			}},
		} {
			t.Run(fmt.Sprintf("%s/decimal=%v/single=%v", name, server.DecimalIDs, server.NoBatches), func(t *testing.T) {
				unknown(t, server, verb.do, append(lose(verb.lost[0]), mock.Fault{Action: mock.Refuse, Count: 1000}))
				if len(verb.lost) > 1 && (name != "copy" || !server.DecimalIDs) { // it begins with a Locate there
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
	require.Contains(t, e.Message, "no answer from ")
	switch faults[0].Operation {
	case kmip.OpDestroy:
		require.Contains(t, e.Message, "; the key "+key.ID+" may have been destroyed")
	case kmip.OpAddAttribute, kmip.OpDeleteAttribute:
		require.Contains(t, e.Message, "; the consumers of the key "+key.ID+" may have been changed")
	default:
		require.Regexp(t, "; the object may exist under the Name [0-9a-f-]{36}( or [0-9a-f-]{36})?$", e.Message)
		for _, o := range b.server.Inventory() { // of a pair, both
			require.True(t, o.Names[0] == key.ID || o.ID == key.ID || strings.Contains(e.Message, o.Names[0]), "%v", o)
		}
	}
}

func consumer(keyID string) *protocol.ChangeConsumer {
	return &protocol.ChangeConsumer{KeyID: keyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}}
}

// inDoubt requires an error that leaves it open what was done to what it names.
func inDoubt(t *testing.T, err error, reason kmip.ResultReason, names string) {
	t.Helper()
	e, ok := err.(*protocol.Error)
	require.True(t, ok, "%v", err)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Contains(t, e.Message, reason.String())
	require.Contains(t, e.Message, names)
	require.NotContains(t, e.Message, "; ;")
}

// TestRefusedAfterLost has the answer to a change get lost, and everything that is tried after it be refused, as some servers
// refuse to destroy again what is destroyed. It is looked what came of the first, and where that does not tell, or tells that
// it may yet come through, the refusal is not told as if nothing had been done.
func TestRefusedAfterLost(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.PermissionDenied, kmip.AuthenticationNotSuccessful, kmip.GeneralFailure} {
		for _, server := range []mock.Config{{}, {DecimalIDs: true}, {NoBatches: true}} {
			t.Run(fmt.Sprintf("%s/decimal=%v/single=%v", reason.String(), server.DecimalIDs, server.NoBatches), func(t *testing.T) {
				settled := keymgr.Config{ProjectIsolation: true} // so that the first Destroy does it
				b := start(t, setting{mock: server, keymgr: settled})
				fail := func(lost mock.Action, operations ...kmip.Operation) {
					b.server.Inject(mock.Fault{Operation: operations[0], Action: lost})
					for _, o := range operations {
						b.server.Inject(mock.Fault{Operation: o, Action: mock.Fail, Reason: reason, Count: 1000})
					}
				}
				id, kept := b.create(alice, 256), b.create(alice, 256)
				fail(mock.DropResponse, kmip.OpAddAttribute)
				_, err := b.AddConsumer(t.Context(), alice, consumer(id))
				require.NoError(t, err)
				_, err = b.AddConsumer(t.Context(), alice, consumer(kept))
				require.False(t, err.(*protocol.Error).MaybeExecuted, "nothing was lost")

				fail(mock.DropResponse, kmip.OpDestroy)
				b.force(alice, id)
				require.Len(t, b.list(service), 1)
				_, err = b.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: kept, Force: true})
				require.False(t, err.(*protocol.Error).MaybeExecuted, "nothing was lost")

				b = start(t, setting{mock: server, keymgr: settled})
				kept = b.create(alice, 256)
				fail(mock.DropRequest, kmip.OpDestroy)
				_, err = b.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: kept})
				inDoubt(t, err, reason, "the key "+kept+" may have been destroyed")

				b = start(t, setting{mock: server, keymgr: settled})
				forced := b.create(alice, 256)
				fail(mock.DropResponse, kmip.OpDestroy, kmip.OpGetAttributes)
				_, err = b.DeleteKey(t.Context(), service, &protocol.DeleteKey{KeyID: forced, Force: true})
				if server.DecimalIDs { // where the identifier is not known without asking
					return
				}
				inDoubt(t, err, reason, "the key "+forced+" may have been destroyed")
			})
		}
	}
}

// TestConsumerRefusedAfterLost has a server take a change, not answer, and refuse everything from then on.
func TestConsumerRefusedAfterLost(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.PermissionDenied, kmip.OperationNotSupported} {
		testConsumerRefusedAfterLost(t, reason)
	}
}

func testConsumerRefusedAfterLost(t *testing.T, reason kmip.ResultReason) {
	var lost atomic.Bool
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch m.Items[0].Payload.(type) {
		case *kmip.AddAttribute:
			if !lost.Swap(true) {
				return nil
			}
		case *kmip.GetAttributes:
			if !lost.Load() || reason == kmip.OperationNotSupported { // which is about one operation
				return shows(m, asked, asked, "project-a")
			}
		}
		return refuses(m, reason)
	})
	_, err := m.AddConsumer(t.Context(), alice, consumer(asked))
	inDoubt(t, err, reason, "the consumers of the key "+asked+" may have been changed")
	require.ErrorContains(t, err, "kmip: bad response from ")
}

// TestNamesNotShown has a server refuse to show the Name of what it just made, for some time or for ever. That is no reason to
// disbelieve it, unless it says that there is no such object; and whatever an error leaves behind it names.
func TestNamesNotShown(t *testing.T) {
	ctx := context.Background()
	for verb, make := range map[string]func(b *bench) error{
		"create": func(b *bench) error {
			_, err := b.CreateKey(ctx, alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
			return err
		},
		"store": func(b *bench) error {
			_, err := b.StoreKey(ctx, alice, &protocol.StoreKey{Object: passphrase()})
			return err
		},
		"pair": func(b *bench) error {
			_, err := b.CreateKeyPair(ctx, alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
			return err
		},
	} {
		for _, reason := range []kmip.ResultReason{
			kmip.PermissionDenied, kmip.ItemNotFound, kmip.OperationNotSupported, kmip.GeneralFailure, kmip.AuthenticationNotSuccessful, kmip.InvalidField,
		} {
			for _, count := range []int{1, 2, 1000} {
				servers := []mock.Config{{}, {DecimalIDs: true}, {NoBatches: true}}
				if reason != kmip.ItemNotFound && reason != kmip.PermissionDenied {
					servers = servers[:1]
				}
				for _, server := range servers {
					for _, activate := range []bool{true, false} {
						t.Run(fmt.Sprintf("%s/%s:%d/decimal=%v/single=%v/activate=%v", verb, reason.String(), count, server.DecimalIDs, server.NoBatches, activate), func(t *testing.T) {
							t.Parallel()
							b := start(t, setting{mock: server, keymgr: keymgr.Config{Activate: activate}})
							b.server.Inject(mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.Fail, Reason: reason, Count: count})
							err := make(b)
							left := b.server.Inventory()
							require.Len(t, left, map[string]int{"create": 1, "store": 1, "pair": 2}[verb])
							if reason != kmip.ItemNotFound || count < 1000 {
								require.NoError(t, err)
								return
							}
							for _, o := range left {
								inDoubt(t, err, reason, o.Names[0])
							}
						})
					}
				}
			}
		}
	}
}

// TestNameOfADestroyedObject has a server make an object, not say so and destroy it, and show it as destroyed from then on.
// A key id of that would be one that no key is found by.
func TestNameOfADestroyedObject(t *testing.T) {
	s := &finding{shelf: newShelf()}
	lost := false
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := s.serve(m)
		if _, makes := m.Items[0].Payload.(*kmip.Create); makes && !lost {
			lost = true
			s.objects[s.ids[0]] = append(s.objects[s.ids[0]], kmip.EnumAttribute(ttlv.TagState, kmip.Destroyed))
			return nil
		}
		return items
	}, lasting(time.Minute))
	made, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	require.Len(t, s.ids, 2)
	require.Equal(t, s.ids[1], made.KeyID)
	_, err = m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
	require.NoError(t, err)
}

// stubborn is a server that shows one object, destroys nothing, and answers like this who asks for its state alone. It
// gives no answer to a message with an operation that it loses.
func stubborn(state kmip.ResponseItem, loses func(kmip.Payload) bool) liar {
	answer := each(func(p kmip.Payload) kmip.ResponseItem {
		q, ok := p.(*kmip.GetAttributes)
		switch {
		case !ok:
			return fails(kmip.PermissionDenied)
		case q.Names[0].Tag == ttlv.TagState:
			return state
		}
		return shows(&kmip.RequestMessage{Items: []kmip.RequestItem{{Payload: p}}}, asked, asked, "project-a")[0]
	})
	return func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if slices.ContainsFunc(m.Items, func(i kmip.RequestItem) bool { return loses(i.Payload) }) {
			return nil
		}
		return answer(m)
	}
}

// inState is what a server shows of asked that is asked for its state: nothing where that is 0.
func inState(s kmip.State) kmip.ResponseItem {
	shown := &kmip.GetAttributesResponse{UniqueIdentifier: asked}
	if s != 0 {
		shown.Attributes = kmip.Attributes{kmip.EnumAttribute(ttlv.TagState, s)}
	}
	return kmip.ResponseItem{Payload: shown}
}

// firstDestroy is true for the first Destroy alone.
func firstDestroy() func(kmip.Payload) bool {
	seen := false
	return func(p kmip.Payload) bool {
		_, destroys := p.(*kmip.Destroy)
		first := destroys && !seen
		seen = seen || destroys
		return first
	}
}

// compromises reports whether a request marks an object as compromised.
func compromises(p kmip.Payload) bool {
	q, ok := p.(*kmip.Revoke)
	return ok && q.Code == kmip.KeyCompromise
}

// TestRefusedDeleteInDoubt has one step of a delete get no answer, and the others be refused. Who is told of the refusal
// alone takes the key for one that is still there.
func TestRefusedDeleteInDoubt(t *testing.T) {
	for name, test := range map[string]struct {
		who   *protocol.Context
		state kmip.State
		loses func(kmip.Payload) bool
	}{
		"by force, then refused":            {service, kmip.Active, firstDestroy()},
		"refused, then as compromised":      {alice, kmip.PreActive, compromises},
		"both, of which the second is lost": {service, kmip.PreActive, compromises},
	} {
		m := lie(t, stubborn(inState(test.state), test.loses))
		_, err := m.DeleteKey(t.Context(), test.who, &protocol.DeleteKey{KeyID: asked, Force: test.who == service})
		require.Equal(t, protocol.Forbidden, kind(err), "%s: %v", name, err)
		inDoubt(t, err, kmip.PermissionDenied, "the key "+asked+" may have been destroyed")
	}
}

// TestStateAfterALostDelete has the answer to a Destroy get lost, another be refused, and the state not be shown: only that
// there is no such object means that it was destroyed.
func TestStateAfterALostDelete(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.PermissionDenied, kmip.GeneralFailure, kmip.ItemNotFound, kmip.ObjectDestroyed} {
		m := lie(t, stubborn(fails(reason), firstDestroy()))
		_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: asked})
		if reason == kmip.ItemNotFound || reason == kmip.ObjectDestroyed {
			require.NoError(t, err, "%v", reason)
			continue
		}
		inDoubt(t, err, kmip.PermissionDenied, "the key "+asked+" may have been destroyed")
	}
}

// TestRefusedWhateverTheState has a server destroy nothing. A key that may be in use is not marked as compromised for that,
// which nobody could take back; one that never was Active is.
func TestRefusedWhateverTheState(t *testing.T) {
	for name, test := range map[string]struct {
		state       kmip.ResponseItem
		compromised bool
	}{
		"not told":    {inState(0), false},
		"refused":     {fails(kmip.PermissionDenied), false},
		"no answer":   {kmip.ResponseItem{}, false},
		"active":      {inState(kmip.Active), false},
		"deactivated": {inState(kmip.Deactivated), false},
		"pre-active":  {inState(kmip.PreActive), true},
	} {
		compromised := false
		m := lie(t, stubborn(test.state, func(p kmip.Payload) bool {
			compromised = compromised || compromises(p)
			return false
		}))
		_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: asked})
		require.Equal(t, test.compromised, compromised, name)
		require.Equal(t, protocol.Forbidden, kind(err), "%s: %v", name, err)
		require.Equal(t, kmip.PermissionDenied.String(), problem(t, err).Reason, "%s: %v", name, err)
		require.False(t, problem(t, err).MaybeExecuted, "%s: %v", name, err)
	}
}

// TestAttempts counts the further attempts at what was lost, and their pauses. A look at what came of one is none.
func TestAttempts(t *testing.T) {
	const pause = 10 * time.Millisecond
	try := func(t *testing.T, retries int, fault mock.Fault) (time.Duration, error) {
		t.Helper()
		b := start(t, setting{})
		config := b.server.Client()
		config.MaxRetries, config.RetryInterval = retries, pause
		client := kmip.NewClient(config)
		defer client.Close()
		m := keymgr.New(client, keymgr.Config{Activate: true, Timeout: 10 * time.Second})
		b.server.Inject(fault)
		begin := time.Now()
		_, err := m.CreateKey(t.Context(), nil, &protocol.CreateKey{Algorithm: "AES", Length: 256})
		if err == nil {
			require.Len(t, b.server.Inventory(), 1)
		} else {
			require.Empty(t, b.server.Inventory())
		}
		return time.Since(begin), err
	}
	for retries := range 4 {
		pauses := pause * (1<<retries - 1)
		took, err := try(t, retries, mock.Fault{Operation: kmip.OpCreate, Action: mock.DropRequest, Count: max(1, retries)})
		if retries > 0 {
			require.NoError(t, err)
			require.GreaterOrEqual(t, took, pauses)
		}
		took, err = try(t, retries, mock.Fault{Operation: kmip.OpCreate, Action: mock.DropRequest, Count: retries + 1})
		require.ErrorContains(t, err, "; the object may exist under the Name ")
		require.True(t, err.(*protocol.Error).MaybeExecuted)
		require.GreaterOrEqual(t, took, pauses)
		_, err = try(t, retries, mock.Fault{Operation: kmip.OpCreate, Action: mock.DropResponse})
		require.NoError(t, err, "one look finds what was made")
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
// The key that was read before is still the one that is read, and deleting it leaves neither. Where somebody uses the other,
// that stays, and who deletes the key is not told that nothing was done.
func TestLateTwin(t *testing.T) {
	for _, used := range []bool{false, true} {
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
		twin, err := kmip.Do(context.Background(), client, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: late})
		require.NoError(t, err)
		require.Len(t, b.server.Inventory(), 2)

		require.Equal(t, []byte(before), []byte(b.get(alice, id).Value))
		if used {
			b.note(twin.UniqueIdentifier, "openstack-consumer-x", `{"service":"s","resource_type":"t","resource_id":"i"}`)
			_, err := b.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: id})
			require.ErrorContains(t, err, "the key has 1 consumers")
			require.ErrorContains(t, err, "the key "+id+" may have been destroyed")
			require.True(t, problem(t, err).MaybeExecuted)
			require.Len(t, b.server.Inventory(), 1)
			continue
		}
		b.delete(alice, id)
		require.Empty(t, b.server.Inventory())
		_, err = b.DeleteKey(context.Background(), alice, &protocol.DeleteKey{KeyID: id})
		require.Equal(t, protocol.NotFound, kind(err))
	}
}

// TestMadeBetweenTwoLooks has a lost Create come through between the first look and the next attempt.
func TestMadeBetweenTwoLooks(t *testing.T) {
	var creates, looks atomic.Int32
	var name atomic.Value
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Create:
			name.Store(p.Attributes.Names()[0])
			creates.Add(1)
			return nil
		case *kmip.Locate:
			if looks.Add(1) == 1 {
				return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{}}}
			}
			return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{asked}}}}
		}
		return shows(m, asked, name.Load().(string), "project-a")
	})
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	require.EqualValues(t, 1, creates.Load())
}

// TestMadeHereInDoubt has the answer to a Create be lost, and the server refuse the next one. The key that is made here has a
// Name of its own, for the server may have made the first one after all; its Name is told.
func TestMadeHereInDoubt(t *testing.T) {
	var left []string
	config := isolating()
	config.LeftBehind = func(_, name string) { left = append(left, name) }
	b := start(t, setting{keymgr: config})
	b.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropRequest, Count: 1},
		mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.CryptographicFailure, Count: 1000})
	_, err := b.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 512})
	require.NoError(t, err)
	made := b.server.Inventory()
	require.Len(t, made, 1)
	require.Len(t, left, 1)
	require.NotContains(t, made[0].Names, left[0])
}

// TestNotMadeHereInDoubt has the answer to a Create be lost, and the key that is made here in its place be refused.
func TestNotMadeHereInDoubt(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	b.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropResponse, Count: 1},
		mock.Fault{Operation: kmip.OpRegister, Action: mock.Fail, Reason: kmip.PermissionDenied, Count: 1000})
	_, err := b.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 512})
	inDoubt(t, err, kmip.PermissionDenied, "the object may exist under the Name ")
}

// TestActiveUnseen has the answer to a Create be lost, its object be Active all the same, and the server say no more about it. That
// another Activate is refused is no refusal of the request. Where the object then is destroyed, nothing is left of it.
func TestActiveUnseen(t *testing.T) {
	for _, destroyed := range []bool{false, true} {
		var name atomic.Value
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			switch p := m.Items[0].Payload.(type) {
			case *kmip.Create:
				name.Store(p.Attributes.Names()[0])
				return nil
			case *kmip.Activate:
				return refuses(m, kmip.PermissionDenied)
			case *kmip.GetAttributes:
				if len(p.Names) == 1 { // State
					return nil
				}
			case *kmip.Locate:
				return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{asked}}}}
			case *kmip.Destroy:
				if !destroyed {
					return nil
				}
				return append([]kmip.ResponseItem{{Payload: &kmip.DestroyResponse{UniqueIdentifier: asked}}},
					slices.Repeat([]kmip.ResponseItem{fails(kmip.ItemNotFound)}, len(m.Items)-1)...)
			}
			return shows(m, asked, name.Load().(string), "project-a")
		}, keymgr.Config{Activate: true, ProjectIsolation: true, Timeout: time.Minute})
		_, err := m.CreateKey(t.Context(), alice, createAES(""))
		require.Equal(t, protocol.Internal, kind(err), "as of the look, which was answered with nonsense: %v", err)
		require.Equal(t, !destroyed, err.(*protocol.Error).MaybeExecuted)
		require.Equal(t, !destroyed, strings.Contains(err.Error(), "stays behind"), "%v", err)
		require.ErrorContains(t, err, "activating the key: kmip: Activate: PermissionDenied")
	}
}

// TestLostBehindAMake has a server make what is asked for and then go away, where a second message asks for the Name: that is no
// bad answer.
func TestLostBehindAMake(t *testing.T) {
	for _, action := range []mock.Action{mock.DropRequest, mock.DropResponse} {
		b := start(t, setting{keymgr: isolating()})
		b.server.Inject(mock.Fault{Operation: kmip.OpGetAttributes, Action: action, Count: 1000})
		_, err := b.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "RSA", Length: 2048})
		require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
		require.True(t, err.(*protocol.Error).MaybeExecuted)
		require.ErrorContains(t, err, "the object may exist under the Name ")

		b = start(t, setting{keymgr: isolating()})
		b.server.Inject(mock.Fault{Operation: kmip.OpGetAttributes, Action: action, Count: 5})
		_, err = b.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "RSA", Length: 2048})
		require.NoError(t, err)
		require.Len(t, b.server.Inventory(), 2)
	}
}

// TestNothingLeftAfterAdoption has the answer to a Create be lost, and the key that is found then not be activated, and so
// destroyed. No more is said of it when the key is to be made here, which this server does not take.
func TestNothingLeftAfterAdoption(t *testing.T) {
	f := &finding{shelf: newShelf()}
	lost := false
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch m.Items[0].Payload.(type) {
		case *kmip.Activate:
			return refuses(m, kmip.InvalidField)
		case *kmip.Register:
			return refuses(m, kmip.PermissionDenied)
		}
		items := f.serve(m)
		if len(f.ids) > 0 && !lost {
			lost = true
			return nil
		}
		return items
	}, keymgr.Config{Activate: true, ProjectIsolation: true, Timeout: time.Minute})
	_, err := m.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 512})
	require.Equal(t, protocol.Forbidden, kind(err), "%v", err)
	require.False(t, err.(*protocol.Error).MaybeExecuted)
	require.NotContains(t, err.Error(), "may exist")
	require.Len(t, f.ids, 1)
	require.Empty(t, f.objects)
}

// TestTwinsAdoptedAndDestroyed has two Creates be carried out and not answered, and the key that is adopted not be activated, and so
// destroyed: its twin is left, and that is said.
func TestTwinsAdoptedAndDestroyed(t *testing.T) {
	f := &finding{shelf: newShelf()}
	creates, blind := 0, 2
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := f.serve(m)
		switch m.Items[0].Payload.(type) {
		case *kmip.Create:
			if creates++; creates <= 2 {
				return nil
			}
		case *kmip.Locate:
			if blind > 0 {
				blind--
				return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{}}}
			}
		case *kmip.Activate:
			return refuses(m, kmip.InvalidField)
		}
		return items
	}, keymgr.Config{Activate: true, ProjectIsolation: true, Timeout: time.Minute})
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.Equal(t, protocol.InvalidRequest, kind(err), "%v", err)
	require.Len(t, f.ids, 2)
	require.Len(t, f.objects, 1)
	require.True(t, err.(*protocol.Error).MaybeExecuted)
	for _, left := range f.objects {
		require.ErrorContains(t, err, left.Names()[0])
	}
}
