package keymgr

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// needed are the operations without which there is no key manager.
func (m *Manager) needed() []kmip.Operation {
	list := []kmip.Operation{kmip.OpCreate, kmip.OpRegister, kmip.OpGet, kmip.OpGetAttributes, kmip.OpLocate, kmip.OpDestroy}
	if m.config.Activate { // and what is Active has to be revoked before it can be destroyed (section 4.21)
		list = append(list, kmip.OpActivate, kmip.OpRevoke)
	}
	return list
}

// networkSteps are the steps over the network, in order. Every host takes them by itself, as far as it gets.
var networkSteps = [...]string{"name resolution", "tcp", "tls", "kmip", "credential"}

// tlsStep is the place of "tls" among them.
const tlsStep = 2

// Check takes the steps to a working key manager that lead over the network, up to the first that no host passes. Hosts that
// fail where another passes are named in the same step. Where it cannot be found out who the caller is, the credential is
// what fails: without a caller only Query is sent.
func (m *Manager) Check(ctx context.Context, who *protocol.Context, options *protocol.CheckOptions) (*protocol.Check, error) {
	if m.refusal != nil {
		return nil, m.refusal
	}
	ctx, end := m.begin(ctx)
	defer end()
	c, err := m.identify(ctx, who)
	if err != nil {
		return m.check(ctx, nil, options, credential{err: err, advice: identityAdvice(err, c.credential)}), nil
	}
	defer m.speakFor(c)()
	credential := m.credentialOf(c)
	defer credential.forged.Clear()
	done := m.check(ctx, c.Context, options, credential)
	if c.lent && !done.OK {
		m.config.Identities.Forget(c.credential) // the next request gets another token, lest it was that
	}
	return done, nil
}

// check takes the steps to all hosts at once, and then one key through its life.
func (m *Manager) check(ctx context.Context, who *protocol.Context, options *protocol.CheckOptions, credential credential) *protocol.Check {
	c := &protocol.Check{OK: true}
	hosts := m.checkHosts(ctx, credential)
	for i, name := range networkSteps {
		if add(c, merge(name, i, hosts)); !c.OK {
			return c
		}
	}
	if options.RoundTrip {
		add(c, m.checkRoundTrip(ctx, who))
	}
	return c
}

func add(c *protocol.Check, s protocol.Step) {
	c.Steps = append(c.Steps, s)
	c.OK = s.OK
}

// credential is what is known of it before any server is asked.
type credential struct {
	detail     string          // who it is for
	integrated bool            // it is OpenStack's
	lent       bool            // and its token is one that Keystone gave to this side
	forged     kmip.Credential // it but for its token, which is nobody's
	err        error           // why there is none
	advice     string          // about that
}

func (m *Manager) credentialOf(c caller) credential {
	if m.config.Identities == nil {
		return credential{}
	}
	forged := *requestContext(c.Context)
	forged.AuthToken = []byte("a token that nobody gave")
	known := credential{
		detail: "a token alone, without user and project", integrated: true, lent: c.lent, forged: kmip.OpenStackCredential(&forged),
	}
	if c.UserID != "" {
		known.detail = fmt.Sprintf("user %q of project %q", c.UserID, c.ProjectID)
	}
	return known
}

// outcome is what one step showed of one host.
type outcome struct {
	detail string
	err    error
	advice string
}

func failed(err error, advice string) outcome { return outcome{err: err, advice: advice} }

// hostCheck is the way to one host. Its outcomes are those of networkSteps, up to the first that failed.
type hostCheck struct {
	probe      *kmip.Probe
	credential credential
	needed     []kmip.Operation
	outcomes   []outcome
}

// checkHosts takes the steps to all hosts, each for itself: one that does not answer takes the time of none.
func (m *Manager) checkHosts(ctx context.Context, credential credential) []*hostCheck {
	var all []*hostCheck
	var wait sync.WaitGroup
	for _, probe := range m.client.Probes() {
		h := &hostCheck{probe: probe, credential: credential, needed: m.needed()}
		all = append(all, h)
		wait.Go(func() { h.run(ctx) })
	}
	wait.Wait()
	return all
}

func (h *hostCheck) run(ctx context.Context) {
	defer h.probe.Close()
	for _, step := range [...]func(context.Context) outcome{h.resolve, h.connect, h.handshake} {
		o := step(ctx)
		if h.outcomes = append(h.outcomes, o); o.err != nil {
			return
		}
	}
	h.ask(ctx)
}

func (h *hostCheck) resolve(ctx context.Context) outcome {
	addresses, err := h.probe.Resolve(ctx)
	if err != nil {
		return failed(err, resolutionAdvice(err))
	}
	return outcome{detail: strings.Join(addresses, ", ")}
}

func (h *hostCheck) connect(ctx context.Context) outcome {
	address, err := h.probe.Connect(ctx)
	if err != nil {
		return failed(err, reachAdvice(err))
	}
	return outcome{detail: "connected to " + address}
}

func (h *hostCheck) handshake(ctx context.Context) outcome {
	state, err := h.probe.Handshake(ctx)
	if err != nil {
		return failed(err, handshakeAdvice(err))
	}
	return outcome{detail: describeTLS(&state)}
}

// describeTLS names what was agreed on, and the server's certificate with those above it.
func describeTLS(state *tls.ConnectionState) string {
	leaf := state.PeerCertificates[0]
	text := fmt.Sprintf("%s with %s, certificate of %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), leaf.Subject)
	if names := kmip.CertificateNames(leaf); names != "" {
		text += " for " + names
	}
	text += " until " + leaf.NotAfter.UTC().Format("2006-01-02")
	for _, above := range state.VerifiedChains[0][1:] {
		text += ", issued by " + above.Subject.String()
	}
	return text
}

// ask asks the server what it is and what it can do, with the credentials that operations carry. Where that fails, it asks
// again without any, to tell what the credentials are to blame for.
func (h *hostCheck) ask(ctx context.Context) {
	authenticated := h.probe.Credentials()
	said, err := query(ctx, h.probe)
	var handshake *kmip.HandshakeError
	switch {
	case errors.As(err, &handshake): // TLS 1.3 lets a server refuse our certificate as late as here
		h.outcomes[tlsStep] = failed(err, handshakeAdvice(err))
	case err == nil && h.credential.err != nil:
		h.note(h.serverOutcome(said), failed(h.credential.err, h.credential.advice))
	case err == nil && h.credential.integrated:
		h.note(h.serverOutcome(said), h.trust(ctx))
	case err == nil:
		h.note(h.serverOutcome(said), outcome{detail: h.accepted(authenticated)})
	case authenticated:
		h.probe.Anonymous()
		said, bare := query(ctx, h.probe)
		h.blame(said, err, bare, true)
	default:
		h.blame(nil, err, err, false)
	}
}

// trust asks a question about keys, which Query is not: a server may answer that to anybody. It asks for the caller, whose token
// must be accepted, and then for the same caller with a token that Keystone never issued, which must be refused for that. A
// server that takes any token would show every key to everybody, since in integrated mode it alone keeps projects apart.
func (h *hostCheck) trust(ctx context.Context) outcome {
	switch err := h.look(ctx); {
	case isRefusal(err):
		return failed(err, h.credential.refusedAdvice(err, true, false))
	case err != nil:
		return failed(err, queryAdvice(err))
	}
	h.probe.As(&h.credential.forged)
	switch err := h.look(ctx); {
	case err == nil:
		return failed(errors.New("a token that Keystone never issued is accepted too"), asksKeystone)
	case !isRefusal(err):
		return failed(err, queryAdvice(err))
	case !isAboutCaller(err):
		return failed(fmt.Errorf("a token that Keystone never issued is not refused as such: %w", err), asksKeystone)
	}
	return outcome{detail: h.accepted(true)}
}

// look is a question about keys that finds none.
func (h *hostCheck) look(ctx context.Context) error {
	_, err := withName(ctx, h.probe.Client, protocol.NewUUID())
	return err
}

func query(ctx context.Context, probe *kmip.Probe) (*kmip.QueryResponse, error) {
	return kmip.Do(ctx, probe.Client, &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations, kmip.QueryServerInformation}})
}

// blame finds out what a refusal is about: bare is what became of the question without credentials.
func (h *hostCheck) blame(said *kmip.QueryResponse, err, bare error, authenticated bool) {
	server := outcome{detail: fmt.Sprintf("KMIP %v; it tells more only to clients that it knows", h.probe.Version())}
	switch {
	case bare == nil:
		server = h.serverOutcome(said)
	case !isAboutCaller(err) && !isAboutCaller(bare):
		server = failed(bare, queryAdvice(bare))
	}
	refusal := failed(err, h.credential.refusedAdvice(err, authenticated, bare == nil))
	if h.credential.err != nil {
		refusal = failed(h.credential.err, h.credential.advice)
	}
	h.note(server, refusal)
}

// note notes what the server is and, if that will do, whether it takes the credential.
func (h *hostCheck) note(server, credential outcome) {
	if h.outcomes = append(h.outcomes, server); server.err == nil {
		h.outcomes = append(h.outcomes, credential)
	}
}

// serverOutcome says what the server says of itself, and what it lacks.
func (h *hostCheck) serverOutcome(said *kmip.QueryResponse) outcome {
	o := outcome{detail: fmt.Sprintf("KMIP %v, %q, %d operations", h.probe.Version(), said.VendorIdentification, len(said.Operations))}
	var missing []string
	for _, op := range h.needed {
		if !slices.Contains(said.Operations, op) {
			missing = append(missing, op.String())
		}
	}
	if missing == nil {
		return o
	}
	advice := "the server does not offer this client " + strings.Join(missing, ", ")
	if slices.Contains(missing, kmip.OpActivate.String()) || slices.Contains(missing, kmip.OpRevoke.String()) {
		advice += "; activate = false in [kmip] does without Activate and Revoke"
	}
	return failed(errors.New(o.detail), advice)
}

func (h *hostCheck) accepted(authenticated bool) string {
	switch {
	case h.credential.detail != "":
		return h.credential.detail
	case authenticated:
		return "username and password, beside the certificate"
	}
	return "the certificate"
}

// merge makes one step of what it showed of all hosts that came so far. One that passes is enough, unless operations stay
// with one before it that does not. Those that did not pass are told with what to do about them.
func merge(name string, i int, hosts []*hostCheck) protocol.Step {
	s := protocol.Step{Step: name}
	var good, passedOver, unfit, advice []string
	for _, h := range hosts {
		if i >= len(h.outcomes) {
			continue
		}
		o := h.outcomes[i]
		switch text := h.text(o); {
		case o.err == nil:
			s.OK = s.OK || len(unfit) == 0
			good = append(good, text)
			continue
		case i <= tlsStep || isPassedOver(o.err):
			passedOver = append(passedOver, text)
		default:
			unfit = append(unfit, text)
		}
		if len(hosts) > 1 {
			o.advice = h.probe.Host() + ": " + o.advice
		}
		advice = append(advice, o.advice)
	}
	if len(good) > 0 {
		passedOver, unfit = under("passed over: ", passedOver), under("not usable: ", unfit)
	}
	s.Detail, s.Advice = strings.Join(slices.Concat(good, passedOver, unfit), "; "), strings.Join(advice, "; ")
	return s
}

// text is an outcome with the host's name before it.
func (h *hostCheck) text(o outcome) string {
	host := h.probe.Host()
	if o.err != nil {
		return host + ": " + strings.TrimPrefix(detailOf(o.err), host+" ")
	}
	return host + ": " + o.detail
}

// isPassedOver reports whether operations go on to another host where one fails so.
func isPassedOver(err error) bool {
	var lost *kmip.TransportError
	return errors.As(err, &lost)
}

// under puts a heading before a list.
func under(heading string, list []string) []string {
	if len(list) > 0 {
		list[0] = heading + list[0]
	}
	return list
}

// checkRoundTrip makes a key, reads it and destroys it.
func (m *Manager) checkRoundTrip(ctx context.Context, who *protocol.Context) protocol.Step {
	s := protocol.Step{Step: "round trip"}
	if m.config.ProjectIsolation && !m.isolates(who) { // as for a project, whose keys must say so
		who = &protocol.Context{ProjectID: "kmip-keymgr-check"}
	}
	made, err := m.CreateKey(ctx, who, &protocol.CreateKey{Algorithm: "AES", Length: 256, Name: "kmip-keymgr check"})
	if err != nil {
		s.Detail, s.Advice = detailOf(err), "the server must let this client create keys and keep their attributes"
		if strings.Contains(s.Detail, withoutActivation) {
			s.Advice = "the server must let this client activate keys"
		}
		return s
	}
	read, err := m.GetKey(ctx, who, &protocol.GetKey{KeyID: made.KeyID})
	if err == nil && bytes.Equal(read.Value, make([]byte, 32)) {
		err = errors.New("the key is all zeros")
	}
	if read != nil {
		read.Clear()
	}
	_, left := m.DeleteKey(ctx, who, &protocol.DeleteKey{KeyID: made.KeyID})
	switch {
	case left != nil:
		s.Detail = detailOf(left)
		if err != nil {
			s.Detail = detailOf(err) + "; " + s.Detail
		}
		s.Advice = "the key " + made.KeyID + " is still there: the server must let this client destroy keys"
	case err != nil:
		s.Detail, s.Advice = detailOf(err), "the server must let this client read what it has made; the key was destroyed"
	default:
		s.OK, s.Detail = true, "a key was created, read and destroyed"
	}
	return s
}
