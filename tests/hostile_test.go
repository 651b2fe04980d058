package tests

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// TestHostileReplies has a server whose replies are altered on their way: one in every operation. HOSTILE_REPLIES says how
// many, 3000 by default; HOSTILE_SEED the first of their random numbers.
//
// An answer is wrong if it gives out bytes that are not those of the key asked for, or an id that is not that of the object
// just made, or if another object came to harm. Bytes altered within the key itself are excused where all else that was
// altered does no harm without them: no client can tell.
func TestHostileReplies(t *testing.T) {
	replies, err := strconv.Atoi(os.Getenv("HOSTILE_REPLIES"))
	if err != nil {
		replies = 3000
	}
	seed, _ := strconv.ParseUint(os.Getenv("HOSTILE_SEED"), 10, 64)
	var all tally
	for part := 0; all.altered < replies; part++ {
		t.Run(fmt.Sprintf("part %d", part), func(t *testing.T) {
			h := newHostile(t, part%2 == 1, part/2%2 == 0) // and a new server, which remembers what was destroyed
			for i := 0; i < 1000 && all.altered+h.altered < replies; i++ {
				h.once(seed + uint64(part*1000+i))
			}
			all.add(&h.tally)
		})
		if part < 4 || part%20 == 0 {
			t.Logf("%v", &all)
		}
	}
	t.Logf("%v", &all)
	require.Zero(t, all.wrong)
	require.LessOrEqual(t, all.memory, uint64(32<<20))
	require.Positive(t, min(all.refused, all.right, all.excused), "a campaign that finds nothing")
}

// tally counts outcomes.
type tally struct {
	altered, unaltered    int // replies; the second where the operation had no reply of that number
	right, refused, wrong int
	excused               int // of right: the key itself was altered
	memory                uint64
}

func (n *tally) add(o *tally) {
	n.altered, n.unaltered, n.excused = n.altered+o.altered, n.unaltered+o.unaltered, n.excused+o.excused
	n.right, n.refused, n.wrong = n.right+o.right, n.refused+o.refused, n.wrong+o.wrong
	n.memory = max(n.memory, o.memory)
}

func (n *tally) String() string {
	return fmt.Sprintf("%d altered replies (%d operations were over before theirs): %d refused, %d right (%d with the key itself altered), "+
		"%d wrong; 0 panics; at most %d KiB of heap", n.altered, n.unaltered, n.refused, n.right, n.excused, n.wrong, n.memory>>10)
}

// hostile is a key manager with some objects, and a relay to it that alters replies.
type hostile struct {
	tally
	t        *testing.T
	activate bool
	relay    *alterer
	direct   *keymgr.Manager // without the relay
	config   kmip.Config     // of clients of the relay
	conf     string          // the same as a file
	mine     *protocol.Object
	others   []*protocol.Object
	foreign  *protocol.Object // of another project
}

var (
	hostileOwner = &protocol.Context{ProjectID: "project-a", UserID: "user-a"}
	otherOwner   = &protocol.Context{ProjectID: "project-b", UserID: "user-b"}
)

func newHostile(t *testing.T, decimal, activate bool) *hostile {
	dir := t.TempDir()
	pki, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	config := mock.Config{PKI: pki, DecimalIDs: decimal}
	server, err := mock.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	h := &hostile{t: t, activate: activate, relay: newAlterer(t, pki, server), config: server.Client()}
	require.NoError(t, pki.WriteConf(h.relay.address, &config))
	h.conf = filepath.Join(dir, "nova.conf")
	h.direct = h.manager(server.Client())
	h.config.Hosts = []string{h.relay.address}
	h.mine = h.store(hostileOwner)
	h.others = []*protocol.Object{h.store(hostileOwner), h.store(hostileOwner)}
	h.foreign = h.store(otherOwner)
	return h
}

func (h *hostile) manager(config kmip.Config) *keymgr.Manager {
	config.MaxRetries, config.RetryInterval, config.Version = 1, time.Microsecond, kmip.V1_4
	client := kmip.NewClient(config)
	h.t.Cleanup(func() { client.Close() })
	return keymgr.New(client, keymgr.Config{Activate: h.activate, ProjectIsolation: true, Timeout: 5 * time.Second})
}

// store makes an object of which the relay knows the value.
func (h *hostile) store(who *protocol.Context) *protocol.Object {
	value := make(secret.Bytes, 32)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	o := &protocol.Object{Type: protocol.SymmetricKey, Algorithm: "AES", BitLength: 256, Name: "a key", Value: value}
	made, err := h.direct.StoreKey(context.Background(), who, &protocol.StoreKey{Object: o})
	require.NoError(h.t, err)
	o.ID = made.KeyID
	h.relay.keys = append(h.relay.keys, value)
	h.relay.ids = append(h.relay.ids, made.KeyID)
	return o
}

// once does one operation with one reply altered, and judges what came of it.
func (h *hostile) once(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	verb := hostileVerbs[seed%uint64(len(hostileVerbs))]
	h.relay.arm(random)
	fault, err := h.do(&verb)
	altered, excused := h.relay.disarm()
	excused = fault != "" && verb.reads && (excused || h.harmlessBeside(&verb))
	if altered {
		h.altered++
	} else {
		h.unaltered++
	}
	if fault == "" {
		fault = h.harm(verb.deletes && err == nil)
	}
	switch {
	case excused:
		h.right++
		h.excused++
	case fault != "":
		h.wrong++
		h.t.Errorf("seed %d, %s: %s (error %v); reply altered by %s", seed, verb.name, fault, err, h.relay.how)
	case err != nil:
		h.refused++
	default:
		h.right++
	}
	h.measure(seed)
}

// do does one operation through the relay, as a helper that was just started.
func (h *hostile) do(verb *hostileVerb) (fault string, err error) {
	client := kmip.NewClient(h.config)
	defer client.Close()
	return verb.do(h, keymgr.New(client, keymgr.Config{Activate: h.activate, ProjectIsolation: true, Timeout: 5 * time.Second}))
}

// harmlessBeside reports whether the last alteration does no harm without what it did to the bytes of keys.
func (h *hostile) harmlessBeside(verb *hostileVerb) bool {
	if !h.relay.armBeside() {
		return false
	}
	fault, _ := h.do(verb)
	altered, _ := h.relay.disarm()
	return altered && fault == ""
}

// measure looks at the heap now and then.
func (h *hostile) measure(seed uint64) {
	if seed%64 == 0 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		h.memory = max(h.memory, stats.HeapInuse)
	}
}

// harm tells what happened to the objects that nobody meant to change. Those made meanwhile are removed.
func (h *hostile) harm(deleted bool) string {
	ctx := context.Background()
	list, err := h.direct.ListKeys(ctx, nil, &protocol.ListKeys{})
	require.NoError(h.t, err)
	there := map[string]string{}
	for _, o := range list.Objects {
		there[o.ID] = string(o.Value)
	}
	for _, o := range append([]*protocol.Object{h.foreign}, h.others...) {
		if there[o.ID] != string(o.Value) {
			return "another object came to harm"
		}
		delete(there, o.ID)
	}
	_, left := there[h.mine.ID]
	delete(there, h.mine.ID)
	for id := range there {
		_, err := h.direct.DeleteKey(ctx, nil, &protocol.DeleteKey{KeyID: id, Force: true})
		require.NoError(h.t, err)
	}
	if left && deleted {
		return "a delete that succeeded left the key"
	}
	if !left {
		h.mine = h.store(hostileOwner)
	}
	return ""
}

// known reports whether the id is of an object that was there before.
func (h *hostile) known(id string) bool {
	for _, o := range append([]*protocol.Object{h.mine, h.foreign}, h.others...) {
		if o.ID == id {
			return true
		}
	}
	return false
}

// fresh judges the id of an object just made: it leads to an object that was not there before, with that value if one is
// given.
func (h *hostile) fresh(id string, err error, value []byte) (string, error) {
	if err != nil {
		return "", err
	}
	if h.known(id) {
		return "the id of an object that was there before", nil
	}
	got, err := h.direct.GetKey(context.Background(), hostileOwner, &protocol.GetKey{KeyID: id})
	switch {
	case err != nil:
		return "an id that leads nowhere: " + err.Error(), nil
	case value != nil && string(got.Value) != string(value):
		return "an object of another value", nil
	}
	return "", nil
}

// hostileVerb does an operation and tells what is wrong with its result.
type hostileVerb struct {
	name           string
	reads, deletes bool
	do             func(h *hostile, m *keymgr.Manager) (fault string, err error)
}

var hostileVerbs = []hostileVerb{
	{"get", true, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		got, err := m.GetKey(context.Background(), hostileOwner, &protocol.GetKey{KeyID: h.mine.ID})
		if err == nil && string(got.Value) != string(h.mine.Value) {
			return "another value", nil
		}
		return "", err
	}},
	{"get of another project's", false, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		_, err := m.GetKey(context.Background(), hostileOwner, &protocol.GetKey{KeyID: h.foreign.ID})
		if err == nil {
			return "another project's key", nil
		}
		return "", err
	}},
	{"copy", true, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		made, err := m.CopyKey(context.Background(), hostileOwner, &protocol.CopyKey{KeyID: h.mine.ID})
		if err != nil {
			return "", err
		}
		return h.fresh(made.KeyID, nil, h.mine.Value)
	}},
	{"create", false, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		made, err := m.CreateKey(context.Background(), hostileOwner, &protocol.CreateKey{Algorithm: "AES", Length: 256})
		if err != nil {
			return "", err
		}
		return h.fresh(made.KeyID, nil, nil)
	}},
	{"store", false, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		o := &protocol.Object{Type: protocol.Passphrase, Value: secret.Bytes("a passphrase to keep")}
		made, err := m.StoreKey(context.Background(), hostileOwner, &protocol.StoreKey{Object: o})
		if err != nil {
			return "", err
		}
		return h.fresh(made.KeyID, nil, o.Value)
	}},
	{"store opaque", false, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		o := &protocol.Object{Type: protocol.OpaqueData, Value: secret.Bytes("opaque data to keep")}
		made, err := m.StoreKey(context.Background(), hostileOwner, &protocol.StoreKey{Object: o})
		if err != nil {
			return "", err
		}
		return h.fresh(made.KeyID, nil, o.Value)
	}},
	{"delete", false, true, func(h *hostile, m *keymgr.Manager) (string, error) {
		_, err := m.DeleteKey(context.Background(), hostileOwner, &protocol.DeleteKey{KeyID: h.mine.ID})
		return "", err
	}},
	{"list", true, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		list, err := m.ListKeys(context.Background(), hostileOwner, &protocol.ListKeys{})
		if err != nil {
			return "", err
		}
		for _, o := range list.Objects {
			for _, known := range append([]*protocol.Object{h.mine, h.foreign}, h.others...) {
				if o.ID == known.ID && string(o.Value) != string(known.Value) {
					return "another value in the list", nil
				}
			}
		}
		return "", nil
	}},
	{"pair", false, false, func(h *hostile, m *keymgr.Manager) (string, error) {
		made, err := m.CreateKeyPair(context.Background(), hostileOwner, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		if err != nil {
			return "", err
		}
		if made.PrivateKeyID == made.PublicKeyID {
			return "one id for both halves", nil
		}
		for id, kind := range map[string]protocol.ObjectType{made.PrivateKeyID: protocol.PrivateKey, made.PublicKeyID: protocol.PublicKey} {
			if fault, err := h.fresh(id, nil, nil); fault != "" || err != nil {
				return fault, err
			}
			got, err := h.direct.GetKey(context.Background(), hostileOwner, &protocol.GetKey{KeyID: id})
			if err != nil || got.Type != kind {
				return fmt.Sprintf("not the %v half", kind), nil
			}
		}
		return "", nil
	}},
}

// TestHostileMemory measures a helper's memory while a server answers it with altered replies, every other one of four
// million bytes.
func TestHostileMemory(t *testing.T) {
	t.Parallel()
	h := newHostile(t, false, true)
	session := helper{configs: []string{h.conf}, context: args{"project_id": hostileOwner.ProjectID}}.with(t, "max_retries = 0").session(t)
	refused := 0
	for seed := range uint64(300) {
		h.relay.arm(rand.New(rand.NewPCG(seed, 2)))
		if seed%2 == 0 {
			h.relay.way = fourMillion
		}
		r := session.ask(t, "get_key", args{"key_id": h.mine.ID})
		if _, excused := h.relay.disarm(); r.Error == nil && !excused {
			require.Equal(t, fmt.Sprintf("%x", []byte(h.mine.Value)), r.Result.Object.Value, "seed %d", seed)
		} else if r.Error != nil {
			refused++
		}
	}
	require.Greater(t, refused, 100)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", session.cmd.Process.Pid))
	require.NoError(t, err)
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(t, peak)
	kilobytes, err := strconv.Atoi(string(peak[1]))
	require.NoError(t, err)
	t.Logf("%d replies refused, the helper's memory at most %d KiB", refused, kilobytes)
	require.LessOrEqual(t, kilobytes, 32<<10)
}

// item is one of TTLV, as this test reads it for itself.
type item struct {
	tag    uint32
	kind   byte
	value  []byte
	fields []*item
}

func parseItems(b []byte) (items []*item) {
	for len(b) >= 8 {
		head := binary.BigEndian.Uint64(b)
		length := int(uint32(head))
		i := &item{tag: uint32(head >> 40), kind: byte(head >> 32), value: b[8 : 8+length]}
		if i.kind == 1 {
			i.fields = parseItems(i.value)
		}
		items = append(items, i)
		b = b[8+(length+7)&^7:]
	}
	return items
}

func (i *item) bytes() []byte { return i.append(nil) }

func (i *item) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(i.tag)<<40|uint64(i.kind)<<32)
	value := len(b)
	if i.kind != 1 {
		b = append(b, i.value...)
	}
	for _, f := range i.fields {
		b = f.append(b)
	}
	length := len(b) - value
	binary.BigEndian.PutUint32(b[value-4:], uint32(length))
	return append(b, make([]byte, (8-length%8)%8)...)
}

// all are the item and everything in it.
func (i *item) all() []*item {
	all := []*item{i}
	for _, f := range i.fields {
		all = append(all, f.all()...)
	}
	return all
}
