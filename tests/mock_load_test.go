package tests

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
)

// number is a size of a campaign: what the environment variable says, or this.
func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// pid is the mock's own process: timeout(1) is its parent.
func (s *server) pid(t *testing.T) string {
	t.Helper()
	parent := strconv.Itoa(s.cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", parent, "task", parent, "children"))
	require.NoError(t, err)
	return strings.TrimSpace(string(children))
}

// memory is a line of the process's status in MiB: VmRSS, what it holds, or VmHWM, the most that it ever held.
func (s *server) memory(t *testing.T, line string) int {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", s.pid(t), "status"))
	require.NoError(t, err)
	match := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, match)
	n, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return n / 1024
}

// files is how many files the process has open.
func (s *server) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join("/proc", s.pid(t), "fd"))
	require.NoError(t, err)
	return len(list)
}

// idlers are ways of holding a connection and giving the server nothing to answer, or no way to.
var idlers = []struct {
	name    string
	patient bool // the server lets it stay for minutes
	hold    func(t *testing.T, c *rawClient)
}{
	{"never speaks", false, func(t *testing.T, c *rawClient) { c.dial(t) }},
	{"shakes hands and is silent", true, func(t *testing.T, c *rawClient) { c.shake(t) }},
	{"sends half a request", false, func(t *testing.T, c *rawClient) {
		whole := encoded(t, everyRequest()...)
		_, err := c.shake(t).Write(whole[:len(whole)/2])
		require.NoError(t, err)
	}},
	{"sends requests and reads nothing", false, func(t *testing.T, c *rawClient) {
		conn := c.shake(t)
		tcp := conn.NetConn().(*wiretap).Conn.(*net.TCPConn)
		require.NoError(t, tcp.SetReadBuffer(4096))
		require.NoError(t, tcp.SetWriteBuffer(4096))
		locate := encoded(t, everyRequest()[3])
		for n := 0; ; n++ {
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
			if _, err := conn.Write(locate); err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the server hung up behind %d requests", n)
				return
			}
		}
	}},
	{"is served, and stays", true, func(t *testing.T, c *rawClient) { c.served(t, everyRequest()...) }},
	{"has sent a large request, and stays", true, func(t *testing.T, c *rawClient) {
		oneByOne.Lock()
		defer oneByOne.Unlock()
		large := kmip.NameAttribute(strings.Repeat("n", 900<<10))
		c.served(t, kmip.RequestItem{Operation: kmip.OpLocate, Payload: &kmip.Locate{Attributes: kmip.Attributes{large}}})
	}},
}

// oneByOne is for who would otherwise measure how many large requests are on their way at once.
var oneByOne sync.Mutex

// served makes one exchange over a connection that stays until the test ends.
func (c *rawClient) served(t *testing.T, items ...kmip.RequestItem) {
	t.Helper()
	conn := c.shake(t)
	_, err := conn.Write(encoded(t, items...))
	require.NoError(t, err)
	_, closed := readReply(t, conn)
	require.False(t, closed)
}

// shake connects and shakes hands. The connection stays until the test ends.
func (c *rawClient) shake(t *testing.T) *tls.Conn {
	t.Helper()
	conn, _ := c.dial(t)
	require.NoError(t, conn.Handshake())
	return conn
}

// TestMockUnderLoad has many clients hold connections in every way that gives the server nothing to do, or no way
// to do it. Meanwhile others are served, and afterwards nothing is left of it. MOCK_CONNECTIONS is how many, 300 by default.
func TestMockUnderLoad(t *testing.T) {
	connections := number(t, "MOCK_CONNECTIONS", 300)
	s := startMock(t)
	h := helper{configs: []string{s.config}}
	c := newRawClient(t, s, tls.VersionTLS13)
	for range 20 {
		requireServed(t, c.exchange(t, everyRequest()[:3]...)) // objects enough for a long answer to Locate
	}
	before, files := s.memory(t, "VmRSS"), s.files(t)
	t.Run("load", func(t *testing.T) {
		begin := time.Now()
		comers := make(chan struct{}, 64) // the machine has to shake hands with itself
		atOnce(t, connections, func(t *testing.T, i int) {
			comers <- struct{}{}
			defer func() { <-comers }()
			idlers[i%len(idlers)].hold(t, c)
		})
		t.Logf("%d connections made in %v", connections, time.Since(begin).Round(time.Millisecond))
		require.GreaterOrEqual(t, s.files(t), connections*3/len(idlers), "who was silent between requests, or is yet to send one, stays")
		begin = time.Now()
		for range 10 {
			id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
			get(t, h.ask, id)
			remove(t, h.ask, id)
		}
		t.Logf("30 helpers meanwhile in %v", time.Since(begin).Round(time.Millisecond))
		if os.Getenv("MOCK_CONNECTIONS") != "" {
			const patient = 3 // of the idlers keep their connections for minutes; of the others the server tires in 30 s
			gone := func() bool { return s.files(t) <= files+(connections*patient+len(idlers))/len(idlers) }
			require.Eventually(t, gone, time.Minute, 100*time.Millisecond)
			t.Logf("who stalls in the midst of something was cut off after %v", time.Since(begin).Round(time.Second))
		}
	})
	held, most := s.memory(t, "VmRSS"), s.memory(t, "VmHWM")
	t.Logf("the mock's memory: %d MiB before, %d MiB held, %d MiB at most", before, held, most)
	require.Less(t, held, before+20+connections/8, "128 kB a connection")
	s.until(t, func() bool { return s.files(t) <= files })
}

// TestMockCutsOffWhoStalls has the only place for a connection held by a client that stalls in the midst of something: the
// next one is served once the server tires of the first, or a few such clients would keep all others out for good.
func TestMockCutsOffWhoStalls(t *testing.T) {
	t.Parallel()
	const files = 64 + 1 // the mock keeps 64 beside those of connections
	atOnce(t, len(idlers), func(t *testing.T, i int) {
		if idlers[i].patient {
			return
		}
		s := startMockBy(t, []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", files, files)})
		c := newRawClient(t, s, tls.VersionTLS13)
		for range 20 {
			requireServed(t, c.exchange(t, everyRequest()[:3]...)) // objects enough for a long answer to Locate
		}
		idlers[i].hold(t, c)
		began := time.Now()
		next := helper{configs: []string{s.config}}.with(t, "timeout = 100", "connect_timeout = 100").session(t)
		require.Nil(t, next.ask(t, "list_keys", nil).Error, idlers[i].name)
		require.Greater(t, time.Since(began), 10*time.Second, "there was another place: %s", idlers[i].name)
		require.Zero(t, next.end(t))
	})
}

// atOnce runs so many at the same time, on as many goroutines as it takes; the first that fails ends the test.
func atOnce(t *testing.T, n int, do func(t *testing.T, i int)) {
	t.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { do(t, i) })
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// TestMockFull has more clients than there may be connections: who comes late waits, and nobody is turned away.
func TestMockFull(t *testing.T) {
	const files, clients = 128, 400
	s := startMockBy(t, []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", files, files)})
	c := newRawClient(t, s, tls.VersionTLS13)
	create := encoded(t, everyRequest()[0])
	var all sync.WaitGroup
	all.Add(files / 2)
	atOnce(t, clients, func(t *testing.T, i int) {
		conn := c.shake(t)
		defer conn.Close()
		if i < files/2 { // these hold their places until all of them have one
			all.Done()
			all.Wait()
		}
		_, err := conn.Write(create)
		require.NoError(t, err)
		reply, closed := readReply(t, conn)
		require.False(t, closed)
		require.Equal(t, kmip.StatusSuccess, (&seen{reply: reply}).whole(t).Items[0].Status)
	})
	require.Equal(t, clients, s.count(t))
}

// TestManyHelpers has many one-shots at once on one mock: they make keys, read them, and delete every other. HELPERS is how
// many, 100 by default.
func TestManyHelpers(t *testing.T) {
	s := startMock(t)
	c := &crowd{helper: helper{configs: []string{s.config}}.with(t, "timeout = 240", "connect_timeout = 120")}
	c.objects = make([]object, number(t, "HELPERS", 100))
	begin := time.Now()
	c.make(t)
	require.Equal(t, len(c.objects), s.count(t))
	c.read(t)
	kept := c.removeHalf(t)
	for _, o := range readInventory(t, filepath.Join(filepath.Dir(s.config), "inventory.json")) {
		require.True(t, kept[o.ID], "%+v", o)
		delete(kept, o.ID)
	}
	require.Empty(t, kept, "lost")
	t.Logf("%d helpers three times at once in %v; the mock held %d MiB at most",
		len(c.objects), time.Since(begin).Round(time.Millisecond), s.memory(t, "VmHWM"))
}

// crowd is many helpers, each with an object.
type crowd struct {
	helper
	objects []object
}

// ask starts a helper for each object, and gives all of them their requests when all have been started.
func (c *crowd) ask(t *testing.T, request func(i int, o *object) (string, args)) []response {
	t.Helper()
	answers, shots := make([]response, len(c.objects)), make([]*shot, len(c.objects))
	for i := range shots {
		op, a := request(i, &c.objects[i])
		shots[i] = c.shot(t, c.request(t, op, a))
	}
	atOnce(t, len(shots), func(t *testing.T, i int) { answers[i] = shots[i].fire(t) })
	for i := range answers {
		require.Nil(t, answers[i].Error)
	}
	return answers
}

// make creates every other object and stores the rest.
func (c *crowd) make(t *testing.T) {
	made := c.ask(t, func(i int, o *object) (string, args) {
		*o = symmetric(32, 256)
		o.Name = fmt.Sprint(i)
		if i%2 == 0 {
			o.Value = nil
			return "create_key", args{"algorithm": "AES", "length": 256, "name": o.Name}
		}
		return "store_key", args{"object": *o}
	})
	for i := range made {
		c.objects[i].ID = keyID(t, made[i])
	}
}

// read has each read its own object.
func (c *crowd) read(t *testing.T) {
	values := map[any]bool{}
	for i, r := range c.ask(t, func(_ int, o *object) (string, args) { return "get_key", args{"key_id": o.ID} }) {
		got, o := r.Result.Object, &c.objects[i]
		require.Equal(t, []any{o.ID, o.Name}, []any{got.ID, got.Name})
		if o.Value != nil {
			require.Equal(t, o.Value, got.Value)
		}
		values[got.Value] = true
	}
	require.Len(t, values, len(c.objects), "a key of everyone's own")
}

// removeHalf deletes two objects of four while the others are read, and returns those.
func (c *crowd) removeHalf(t *testing.T) map[string]bool {
	kept := map[string]bool{}
	c.ask(t, func(i int, o *object) (string, args) {
		if i%4 < 2 {
			return "delete_key", args{"key_id": o.ID}
		}
		kept[o.ID] = true
		return "get_key", args{"key_id": o.ID, "metadata_only": true}
	})
	return kept
}

// shot is a helper that has been started and waits for its one request.
type shot struct {
	cmd            *exec.Cmd
	in             io.WriteCloser
	request        string
	stdout, stderr bytes.Buffer
}

func (h helper) shot(t *testing.T, request string) *shot {
	t.Helper()
	s := &shot{cmd: h.command(t.Context()), request: request}
	s.cmd.WaitDelay = patience // a second is not enough to read what hundreds say at the same time
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	return s
}

// fire gives it the request, and waits.
func (s *shot) fire(t *testing.T) response {
	t.Helper()
	_, err := io.WriteString(s.in, s.request)
	require.NoError(t, err)
	require.NoError(t, s.in.Close())
	require.NoError(t, s.cmd.Wait(), "%s%s", &s.stdout, &s.stderr)
	require.Empty(t, s.stderr.String())
	return parse(t, s.stdout.String())
}

// TestSessionUnderTheRaceDetector holds a long session with a helper that was built with the race detector, over
// connections that break all the time. The detector writes what it finds to stderr, and has the helper exit with 66.
func TestSessionUnderTheRaceDetector(t *testing.T) {
	rounds := number(t, "RACE_ROUNDS", 25)
	racing := filepath.Join(t.TempDir(), "kmip-keymgr-helper")
	build := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", racing, "../cmd/kmip-keymgr-helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	s := startMock(t, "--fault", "Get:truncate=40:3", "--fault", "Create:garbage", "--fault", "Destroy:drop-response:2",
		"--fault", "Handshake:drop-response:2", "--fault", "*:delay=20ms:10")
	relay := newCutter(t, s.address)
	h := helper{configs: []string{s.config}, program: racing}.with(t, "retry_interval = 0.001", "max_retries = 8",
		"host = "+relay.addr+", "+s.address)
	session := h.session(t)
	for i := range rounds {
		for j, step := range raceSteps(t) {
			relay.cut((i+j)%2 == 0, int64(1+(i*131+j*977)%4000))
			step(t, session.ask)
		}
	}
	require.Zero(t, session.end(t), "%s", session.stderr)
	require.Empty(t, session.stderr.String())
	require.Zero(t, s.count(t))
}

// raceSteps are the steps of one round, each an answer or two. They leave nothing.
func raceSteps(t *testing.T) []func(t *testing.T, ask asker) {
	var key, own, copied string
	o := symmetric(32, 256)
	var steps []func(t *testing.T, ask asker)
	add := func(s func(t *testing.T, ask asker)) { steps = append(steps, s) }
	add(func(t *testing.T, ask asker) {
		key = keyID(t, ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	})
	add(func(t *testing.T, ask asker) { own = keyID(t, ask(t, "store_key", args{"object": o})) })
	add(func(t *testing.T, ask asker) { require.Equal(t, o.Value, get(t, ask, own).Value) })
	add(func(t *testing.T, ask asker) { copied = keyID(t, ask(t, "copy_key", args{"key_id": own})) })
	add(func(t *testing.T, ask asker) { require.Equal(t, o.Value, get(t, ask, copied).Value) })
	add(func(t *testing.T, ask asker) { require.Len(t, ask(t, "list_keys", nil).Result.Objects, 3) })
	for _, id := range []*string{&key, &own, &copied} {
		add(func(t *testing.T, ask asker) { remove(t, ask, *id) })
	}
	return steps
}
