package keymgr

import (
	"context"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// CreateKeyPair makes the two halves of an asymmetric key on the server. Each half has a Name of its own.
func (m *Manager) CreateKeyPair(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyPair, error) {
	ctx, end := m.begin(ctx)
	defer end()
	s, err := newSpec(args.Algorithm, args.Length)
	if err != nil {
		return nil, err
	}
	private, public := m.describe(who, args.Name, args.Expiration), m.describe(who, args.Name, args.Expiration)
	made, err := kmip.Do(ctx, m.client, m.pairRequest(s, private, public))
	if err != nil {
		return nil, m.fail(m.perhapsMade(err, private))
	}
	if err := m.activatePair(ctx, made, private, public); err != nil {
		return nil, m.fail(err)
	}
	return &protocol.KeyPair{PrivateKeyID: private.keyID(made.Private), PublicKeyID: public.keyID(made.Public)}, nil
}

// pairRequest gives both halves the algorithm and length, and each its own use and description.
func (m *Manager) pairRequest(s *spec, private, public *description) *kmip.CreateKeyPair {
	return &kmip.CreateKeyPair{
		Common:  (&spec{algorithm: s.algorithm, length: s.length}).attributes(),
		Private: append((&spec{usage: kmip.UsageSign | kmip.UsageDecrypt}).attributes(), m.attributes(private)...),
		Public:  append((&spec{usage: kmip.UsageVerify | kmip.UsageEncrypt}).attributes(), m.attributes(public)...),
	}
}

// activatePair makes both halves Active, in one round trip. A pair of which one half cannot be does not stay behind.
func (m *Manager) activatePair(ctx context.Context, made *kmip.CreateKeyPairResponse, private, public *description) error {
	if !m.config.Activate {
		return nil
	}
	b := kmip.Batch{Continue: true}
	first := kmip.Add(&b, &kmip.Activate{UniqueIdentifier: made.Private})
	second := kmip.Add(&b, &kmip.Activate{UniqueIdentifier: made.Public})
	_ = m.client.Run(ctx, &b) // each half's result says how it went
	if err := m.ensureActive(ctx, made.Private, private, first.Err); err != nil {
		return m.undo(ctx, made.Public, public, err)
	}
	if err := m.ensureActive(ctx, made.Public, public, second.Err); err != nil {
		return m.undo(ctx, made.Private, private, err)
	}
	return nil
}
