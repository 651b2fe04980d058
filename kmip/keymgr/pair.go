package keymgr

import (
	"context"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// CreateKeyPair makes the two halves of an asymmetric key on the server. Each half has a Name of its own.
func (m *Manager) CreateKeyPair(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyPair, error) {
	return do(ctx, m, who, args, m.createKeyPair)
}

func (m *Manager) createKeyPair(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyPair, error) {
	s, err := newSpec(args.Algorithm, args.Length)
	if err != nil {
		return nil, err
	}
	if err := checkExpiration(args.Expiration); err != nil {
		return nil, err
	}
	private, public := m.describe(who, args.Name, args.Expiration), m.describe(who, args.Name, args.Expiration)
	var made *kmip.CreateKeyPairResponse
	var adopted []*found // both halves, or none
	try := m.renaming(func() error {
		return m.fitting(&private.record, func() (err error) { // the public key's record says the same
			made, err = m.makePair(ctx, m.pairRequest(s, private, public), private, public)
			return err
		})
	}, private, public)
	look := func() (there bool, err error) {
		adopted, err = m.pairMadeAs(ctx, private.name, public.name)
		return adopted != nil, err
	}
	if err := m.once(ctx, change{try: try, look: look}); err != nil {
		return nil, noting(err, mayExist(private, public))
	}
	m.client.Pin(true)
	m.report(private, public)
	if adopted != nil {
		made = &kmip.CreateKeyPairResponse{Private: adopted[0].id, Public: adopted[1].id}
		private.adopt(adopted[0], m.client.Server())
		public.adopt(adopted[1], m.client.Server())
		err = m.checkPair(ctx, made, private, public, adopted[0].record, adopted[1].record)
	}
	pair := &protocol.KeyPair{PrivateKeyID: private.keyID(made.Private), PublicKeyID: public.keyID(made.Public)}
	if err == nil {
		err = m.activatePair(ctx, made, private, public)
	}
	return pair, doubt(err, private, public)
}

// makePair makes a pair, and makes sure that it is the one described.
func (m *Manager) makePair(ctx context.Context, request *kmip.CreateKeyPair, private, public *description) (*kmip.CreateKeyPairResponse, error) {
	made, err := kmip.Do(ctx, m.client, request)
	if err != nil {
		return nil, err
	}
	defer m.client.Pin(m.client.Pin(true))
	b := kmip.Batch{Continue: true}
	first, second := kmip.Add(&b, showName(made.Private)), kmip.Add(&b, showName(made.Public))
	failed := m.client.Run(ctx, &b)
	if err := m.prove(ctx, made.Private, private, first, failed); err != nil {
		return made, err
	}
	if err := m.prove(ctx, made.Public, public, second, failed); err != nil {
		return made, err
	}
	err = m.checkPair(ctx, made, private, public, private.shownIn(first), public.shownIn(second))
	if err != nil {
		private.leave()
		public.leave()
	}
	return made, err
}

// checkPair is checkRecord for both halves.
func (m *Manager) checkPair(ctx context.Context, made *kmip.CreateKeyPairResponse, private, public *description, first, second record) error {
	if m.keeps(private, first) && m.keeps(public, second) {
		return nil
	}
	return m.undo(ctx, made.Private, private, m.undo(ctx, made.Public, public, errNotKept()))
}

// pairMadeAs are the two halves that were made under those Names, nil where one is missing.
func (m *Manager) pairMadeAs(ctx context.Context, private, public string) ([]*found, error) {
	first, err := m.madeAs(ctx, private)
	if err != nil || first == nil {
		return nil, err
	}
	second, err := m.madeAs(ctx, public)
	if err != nil || second == nil {
		return nil, err
	}
	return []*found{first, second}, nil
}

// pairRequest gives both halves the algorithm and length, and each its own use and description.
func (m *Manager) pairRequest(s *spec, private, public *description) *kmip.CreateKeyPair {
	return &kmip.CreateKeyPair{
		Common:  s.attributes(),
		Private: append((&spec{usage: privateUsage}).attributes(), m.attributes(private)...),
		Public:  append((&spec{usage: publicUsage}).attributes(), m.attributes(public)...),
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
