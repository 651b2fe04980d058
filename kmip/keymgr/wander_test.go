package keymgr_test

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// The tests here have a conversation about an object end at one host, where the next best thing would be to go on at another
// that shares nothing with it.

// closes has a host close each connection behind the answer to one operation, and gone has it be away for good.
func closes(o kmip.Operation) mock.Fault {
	return mock.Fault{Operation: o, Action: mock.Truncate, Bytes: 1 << 20, Count: 100}
}

var gone = mock.Fault{Action: mock.Refuse, Count: 1000}

func problem(t *testing.T, err error) *protocol.Error {
	t.Helper()
	e, ok := err.(*protocol.Error)
	require.True(t, ok, "%v", err)
	return e
}

// TestNameLookedForElsewhere has a host refuse an identifier and lose the Locate of it as a Name. The other has the key.
func TestNameLookedForElsewhere(t *testing.T) {
	for _, deletes := range []bool{false, true} {
		a, b := apart(t, mock.Config{})
		id := b.create(alice, 256)
		a.list(alice)
		a.server.Inject(mock.Fault{Operation: kmip.OpLocate, Action: mock.DropRequest})
		if deletes {
			a.delete(alice, id)
			require.Empty(t, b.server.Inventory())
		} else {
			a.get(alice, id)
		}
	}
}

// TestHolderThatStartsUp has the host of a key refuse one connection.
func TestHolderThatStartsUp(t *testing.T) {
	a, b := apart(t, mock.Config{})
	id := b.create(alice, 256)
	a.list(alice)
	b.server.Inject(mock.Fault{Action: mock.Refuse})
	a.get(alice, id)
}

// TestDeleteStaysWithTheKey has the host of a key go away before the Destroy. The other would lose the answer to one.
func TestDeleteStaysWithTheKey(t *testing.T) {
	a, b := apart(t, mock.Config{})
	id := a.create(alice, 256)
	a.server.Inject(closes(kmip.OpGetAttributes))
	b.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropResponse})
	m := over(t, a, time.Second, through(t, a.server.Addr(), "pc"), b.server.Addr())
	_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: id})
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
	require.Len(t, a.server.Inventory(), 1)
}

// TestForcedDeleteWithoutTheHolder has a host that never had a key lose the answer to a Destroy, and that of the key be away.
func TestForcedDeleteWithoutTheHolder(t *testing.T) {
	a, b := apart(t, mock.Config{})
	id := b.create(alice, 256)
	a.list(alice)
	a.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropResponse})
	b.server.Inject(gone)
	_, err := a.DeleteKey(t.Context(), service, &protocol.DeleteKey{KeyID: id, Force: true})
	require.True(t, problem(t, err).MaybeExecuted, "%v", err)
	require.Len(t, b.server.Inventory(), 1)
}

// TestForcedDeleteBesideTheHolder is the same with a third host, which is asked last and does not have the key either: that
// the key's own was not asked must not be forgotten over it, or a key that is still there is reported as destroyed.
func TestForcedDeleteBesideTheHolder(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	another := func() *bench { return start(t, setting{mock: mock.Config{PKI: pki}, keymgr: isolating()}) }
	first, holder, third := another(), another(), another()
	id := holder.create(alice, 256)
	first.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropResponse})
	holder.server.Inject(gone)
	m := over(t, first, time.Second, first.server.Addr(), holder.server.Addr(), third.server.Addr())
	_, err = m.DeleteKey(t.Context(), service, &protocol.DeleteKey{KeyID: id, Force: true})
	require.True(t, problem(t, err).MaybeExecuted, "%v", err)
	require.Equal(t, protocol.Unavailable, kind(err))
	require.Len(t, holder.server.Inventory(), 1)
}

// TestPairShownByItsMaker has a host lose the request to show a pair that it has just made.
func TestPairShownByItsMaker(t *testing.T) {
	lost := mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.DropRequest}
	a, b := apart(t, mock.Config{})
	a.list(alice)
	a.server.Inject(lost)
	_, err := a.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
	require.NoError(t, err)
	names := map[string]bool{}
	all := slices.Concat(a.server.Inventory(), b.server.Inventory())
	for _, o := range all {
		require.False(t, names[o.Names[0]], "two objects of one Name")
		names[o.Names[0]] = true
	}
	require.Len(t, a.left, len(all)-2)

	a.server.Inject(lost, gone)
	b.server.Inject(gone)
	_, err = a.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
	require.True(t, problem(t, err).MaybeExecuted, "%v", err)
	require.Equal(t, a.server.Addr(), problem(t, err).Server, "%v", err)
}

// TestUndoneAtItsMaker has a host go away that made an object and was to activate it. The object is not undone elsewhere.
func TestUndoneAtItsMaker(t *testing.T) {
	a, b := apart(t, mock.Config{NoBatches: true})
	a.create(alice, 256)
	a.server.Inject(mock.Fault{Operation: kmip.OpActivate, Action: mock.DropRequest}, gone)
	b.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropRequest})
	_, err := a.CreateKey(t.Context(), alice, createAES(""))
	e := problem(t, err)
	require.Equal(t, protocol.Unavailable, e.Kind, "%v", err)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Equal(t, a.server.Addr(), e.Server, "%v", err)
	require.Contains(t, e.Message, a.server.Inventory()[1].Names[0])
}

// TestRefusedAfterALostAttempt has a host make an object, lose the answer and go away, and another refuse to activate its own.
// The error is not a certain one: there is still the first.
func TestRefusedAfterALostAttempt(t *testing.T) {
	for _, pair := range []bool{false, true} {
		a, b := apart(t, mock.Config{})
		a.list(alice)
		operation := kmip.OpCreate
		if pair {
			operation = kmip.OpCreateKeyPair
		}
		a.server.Inject(mock.Fault{Operation: operation, Action: mock.DropResponse}, gone)
		b.server.Inject(mock.Fault{Operation: kmip.OpActivate, Action: mock.Fail, Reason: kmip.AuthenticationNotSuccessful, Count: 1000})
		var err error
		if pair {
			_, err = a.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		} else {
			_, err = a.CreateKey(t.Context(), alice, createAES(""))
		}
		require.True(t, problem(t, err).MaybeExecuted, "%v", err)
		for _, o := range a.server.Inventory() {
			require.ErrorContains(t, err, o.Names[0]+" at "+a.server.Addr())
		}
		require.Empty(t, b.server.Inventory())
	}
}

// TestTwoMayExist has two hosts make an object and not say so. The error says where each may be.
func TestTwoMayExist(t *testing.T) {
	a, b := apart(t, mock.Config{})
	a.list(alice)
	a.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropResponse}, gone)
	b.server.Inject(mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.Truncate, Bytes: 10, Count: 1000})
	_, err := a.CreateKey(t.Context(), alice, createAES(""))
	require.ErrorContains(t, err, a.server.Inventory()[0].Names[0]+" at "+a.server.Addr())
	require.ErrorContains(t, err, b.server.Inventory()[0].Names[0])
	require.Contains(t, err.Error()+problem(t, err).Server, b.server.Addr())
}

// TestAdoptedWhereItIs has a host make an object, lose the answer, and then lose that to the question what it has.
func TestAdoptedWhereItIs(t *testing.T) {
	a, b := apart(t, mock.Config{})
	a.list(alice)
	a.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropResponse}, mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.DropRequest})
	a.create(alice, 256)
	require.Len(t, a.server.Inventory(), 1)
	require.Empty(t, b.server.Inventory())
}

// TestRevokedIsTold has a key be revoked and not destroyed: by a server without batches that goes away, and by one that refuses
// the Destroy.
func TestRevokedIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		mock  mock.Config
		fault mock.Fault
		who   *protocol.Context
	}{
		"goes away":          {mock.Config{NoBatches: true}, closes(kmip.OpRevoke), alice},
		"refuses":            {mock.Config{}, mock.Fault{Operation: kmip.OpDestroy, Action: mock.Fail, Reason: kmip.CryptographicFailure, Count: 1000}, alice},
		"refuses by service": {mock.Config{}, mock.Fault{Operation: kmip.OpDestroy, Action: mock.Fail, Reason: kmip.CryptographicFailure, Count: 1000}, service},
	} {
		b := start(t, setting{mock: test.mock, keymgr: isolating()})
		id := b.create(alice, 256)
		b.server.Inject(test.fault)
		m := over(t, b, time.Second, through(t, b.server.Addr(), "pc"))
		_, err := m.DeleteKey(t.Context(), test.who, &protocol.DeleteKey{KeyID: id, Force: test.who == service})
		require.Equal(t, "Deactivated", b.server.Inventory()[0].State, name)
		require.ErrorContains(t, err, "revoked", name)
	}
}

// TestListOfOneHost has a host go away that has said which objects there are, and not shown them. The other's are not taken
// for the rest of the list, nor is the list told to be empty.
func TestListOfOneHost(t *testing.T) {
	a, b := apart(t, mock.Config{})
	a.create(alice, 256)
	b.create(alice, 256)
	a.server.Inject(closes(kmip.OpLocate))
	m := over(t, a, 5*time.Second, through(t, a.server.Addr(), "pc"), b.server.Addr())
	list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{MetadataOnly: true})
	require.Nil(t, list)
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
}

// TestProvedByItsMaker has a host make an object, refuse to show its Name and go away. What another finds by the Name
// proves nothing: the object is made there, and the first is told of.
func TestProvedByItsMaker(t *testing.T) {
	a, b := apart(t, mock.Config{})
	a.server.Inject(closes(kmip.OpCreate), mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.Fail, Reason: kmip.PermissionDenied})
	var left []string
	config := lasting(10 * time.Second)
	config.LeftBehind = func(_, name string) { left = append(left, name) }
	m := overWith(t, a, config, 5*time.Second, through(t, a.server.Addr(), "pc"), b.server.Addr())
	made, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	require.Len(t, b.server.Inventory(), 1)
	require.Equal(t, b.server.Inventory()[0].ID, made.KeyID)
	require.Equal(t, a.server.Inventory()[0].Names, left)
}

// leaves is the address of a liar that hangs up behind each answer, and is away after so many.
func leaves(t *testing.T, pki *mock.PKI, l liar, answers int) string {
	t.Helper()
	address := listen(t, pki, func(conn net.Conn) { l.answer(conn) })
	return through(t, address, strings.Repeat("p", answers)+"c")
}

// TestNotKeptAndGone has a host make an object, not keep its record, and go away before or behind its being destroyed. It
// is not destroyed elsewhere, where nobody knows it: it stays behind, and is told of. What is destroyed may be made
// elsewhere.
func TestNotKeptAndGone(t *testing.T) {
	for _, destroyed := range []bool{false, true} {
		pki, err := mock.NewPKI()
		require.NoError(t, err)
		first, second := newShelf(), newShelf()
		first.keep = keepLast(0)
		var elsewhere []kmip.Operation
		answers := map[bool]int{false: 1, true: 2}[destroyed]
		m := lieAt(t, pki, lasting(10*time.Second), leaves(t, pki, first.serve, answers), listen(t, pki, liar(func(m *kmip.RequestMessage) []kmip.ResponseItem {
			elsewhere = append(elsewhere, m.Items[0].Operation)
			return second.serve(m)
		}).converse))
		made, err := m.CreateKey(t.Context(), alice, createAES(""))
		if destroyed {
			require.NoError(t, err)
			require.Equal(t, second.ids, []string{made.KeyID})
			require.Equal(t, []kmip.Operation{kmip.OpCreate}, elsewhere)
			require.Empty(t, first.objects)
			continue
		}
		require.ErrorContains(t, err, "stays behind under the Name "+first.objects[first.ids[0]].Names()[0])
		require.True(t, problem(t, err).MaybeExecuted, "%v", err)
		require.Empty(t, elsewhere)
	}
}

// TestLooksAtTheFinder has a host find two objects by a key id, and go away before it shows them. That another knows none
// of these does not mean that there is no such key.
func TestLooksAtTheFinder(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	first := each(func(p kmip.Payload) kmip.ResponseItem {
		if _, ok := p.(*kmip.Locate); ok {
			return kmip.ResponseItem{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{"1", "2"}}}
		}
		return fails(kmip.ItemNotFound)
	})
	var elsewhere atomic.Int32
	m := lieAt(t, pki, lasting(10*time.Second), leaves(t, pki, first, 2), listen(t, pki, each(func(p kmip.Payload) kmip.ResponseItem {
		elsewhere.Add(1)
		return fails(kmip.ItemNotFound)
	}).converse))
	_, err = m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: asked})
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
	require.Zero(t, elsewhere.Load())
}
