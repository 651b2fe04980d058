package keymgr

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// needed are the operations without which there is no key manager.
var needed = [...]kmip.Operation{
	kmip.OpCreate, kmip.OpRegister, kmip.OpGet, kmip.OpGetAttributes, kmip.OpLocate, kmip.OpDestroy,
}

// Check walks the part of the road to a working key manager that leads over the network, up to the first step that fails.
func (m *Manager) Check(ctx context.Context, who *protocol.Context, options *protocol.CheckOptions) (*protocol.Check, error) {
	ctx, end := m.begin(ctx)
	defer end()
	steps := []func(context.Context) protocol.Step{m.checkConnection, m.checkServer}
	if options.RoundTrip {
		steps = append(steps, func(ctx context.Context) protocol.Step { return m.checkRoundTrip(ctx, who) })
	}
	c := &protocol.Check{OK: true}
	for _, take := range steps {
		step := take(ctx)
		c.Steps = append(c.Steps, step)
		if c.OK = step.OK; !step.OK {
			break
		}
	}
	return c, nil
}

// checkConnection connects: name resolution, TCP and TLS, of which the error tells which one failed.
func (m *Manager) checkConnection(ctx context.Context) protocol.Step {
	s := protocol.Step{Step: "connection"}
	state, err := m.client.Connect(ctx)
	if err != nil {
		return failed(s, err, connectionAdvice(err))
	}
	leaf := state.PeerCertificates[0]
	s.OK = true
	s.Detail = fmt.Sprintf("%s, %s with %s, certificate of %s until %s", m.client.Server(), tls.VersionName(state.Version),
		tls.CipherSuiteName(state.CipherSuite), leaf.Subject, leaf.NotAfter.UTC().Format("2006-01-02"))
	return s
}

// connectionAdvice is that of the handshake, or else what lies nearer.
func connectionAdvice(err error) string {
	var handshake *kmip.HandshakeError
	if errors.As(err, &handshake) {
		return handshake.Advice
	}
	return "host and port must name a KMIP server that this machine can reach"
}

// checkServer asks the server what it is and what it can do. A server that takes the question takes the credentials too.
func (m *Manager) checkServer(ctx context.Context) protocol.Step {
	s := protocol.Step{Step: "kmip"}
	query := &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations, kmip.QueryObjects, kmip.QueryServerInformation}}
	said, err := kmip.Do(ctx, m.client, query)
	if err != nil {
		return failed(s, err, "kmip_version, username and password must suit the server, and the server must know the certificate")
	}
	var missing []string
	for _, op := range needed {
		if !slices.Contains(said.Operations, op) {
			missing = append(missing, op.String())
		}
	}
	s.Detail = fmt.Sprintf("KMIP %v, %q, %d operations", m.client.Version(), said.VendorIdentification, len(said.Operations))
	if passed := m.client.PassedOver(); passed != nil {
		s.Detail += fmt.Sprintf(" at %s; passed over: %v", m.client.Server(), passed)
		s.Advice = connectionAdvice(passed)
	}
	if s.OK = missing == nil; !s.OK {
		s.Advice = "the server does not offer this client " + strings.Join(missing, ", ")
	}
	return s
}

// checkRoundTrip makes a key, reads it and destroys it.
func (m *Manager) checkRoundTrip(ctx context.Context, who *protocol.Context) protocol.Step {
	s := protocol.Step{Step: "round trip"}
	made, err := m.CreateKey(ctx, who, &protocol.CreateKey{Algorithm: "AES", Length: 256, Name: "kmip-keymgr check"})
	if err != nil {
		return failed(s, err, "the server must let this client create keys")
	}
	read, err := m.GetKey(ctx, who, &protocol.GetKey{KeyID: made.KeyID})
	if err == nil && bytes.Equal(read.Value, make([]byte, 32)) {
		err = errors.New("the key is all zeros")
	}
	if read != nil {
		read.Clear()
	}
	_, deleted := m.DeleteKey(ctx, who, &protocol.DeleteKey{KeyID: made.KeyID})
	if err := cmpErr(err, deleted); err != nil {
		return failed(s, err, "the key "+made.KeyID+" was made, and could not be read or destroyed")
	}
	s.OK, s.Detail = true, "a key was created, read and destroyed"
	return s
}

func failed(s protocol.Step, err error, advice string) protocol.Step {
	s.Detail, s.Advice = err.Error(), advice
	return s
}
