package keymgr

import (
	"context"
	"errors"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// delete destroys the object with that key id. Whose it is, and who uses it, must be read first; where neither matters,
// the key id may well be the server's identifier, and one round trip does.
func (m *Manager) delete(ctx context.Context, who *protocol.Context, keyID string, force bool) error {
	var lost error
	if force && !m.isolates(who) {
		lost = m.climbOnce(ctx, keyID, kmip.CessationOfOperation)
		if lost == nil || !isLost(lost) && !mayHaveOtherID(lost) {
			return lost
		}
	}
	f, err := m.find(ctx, who, keyID, false)
	switch {
	case err == nil:
	case isLost(lost) && isNotFound(err): // neither as an identifier nor as a Name, so what was not answered destroyed it
		return nil
	case isLost(lost):
		return perhapsGone(lost, keyID)
	default:
		return err
	}
	if n := len(f.consumers); n > 0 && !force {
		return invalid("the key has %d consumers; force deletes it all the same", n)
	}
	m.settle(f.id)
	if err := m.destroy(ctx, f.id); err != nil || !f.twins {
		return perhapsGone(err, keyID)
	}
	if err := m.delete(ctx, who, keyID, force); !isNotFound(err) { // or else a twin would be found in its place
		return err
	}
	return nil
}

// destroy climbs the object's life, in one round trip: Destroy, and where the object is Active, Revoke and Destroy. An
// object that some servers want revoked before it was ever Active can be revoked as compromised only.
func (m *Manager) destroy(ctx context.Context, id string) error {
	err := m.climb(ctx, id, kmip.CessationOfOperation)
	if err == nil || isNotFound(err) || !isResult(err) {
		return err
	}
	state, unknown := m.state(ctx, id)
	if unknown != nil || state != kmip.PreActive { // so it is not for its state, and a mark that stays would be for nothing
		return err
	}
	if m.climb(ctx, id, kmip.KeyCompromise) == nil {
		return nil
	}
	return err
}

// climb sends Destroy, Revoke and Destroy until there is an answer. An object that is gone after an answer was lost was
// destroyed by what was not answered.
func (m *Manager) climb(ctx context.Context, id string, why kmip.RevocationReasonCode) error {
	lost := m.climbOnce(ctx, id, why)
	if !isLost(lost) {
		return lost
	}
	for i := 0; i < maxLooks && ctx.Err() == nil; i++ {
		err := m.climbOnce(ctx, id, why)
		if err == nil || isNotFound(err) {
			return nil
		}
		if isResult(err) {
			return err
		}
	}
	return lost
}

// perhapsGone tells the operator which key may have been destroyed, if nobody knows: its key id is the object's identifier
// or Name.
func perhapsGone(err error, keyID string) error {
	if !isLost(err) {
		return err
	}
	e := asError(err)
	e.Message += "; the key " + keyID + " may have been destroyed"
	return e
}

func (m *Manager) climbOnce(ctx context.Context, id string, why kmip.RevocationReasonCode) error {
	b := kmip.Batch{Continue: true}
	at := kmip.Add(&b, &kmip.Destroy{UniqueIdentifier: id})
	kmip.Add(&b, &kmip.Revoke{UniqueIdentifier: id, Code: why})
	then := kmip.Add(&b, &kmip.Destroy{UniqueIdentifier: id})
	if err := m.client.Run(ctx, &b); err != nil {
		return err
	}
	if at.Err == nil || then.Err == nil {
		return nil
	}
	if errors.Is(then.Err, kmip.ErrNotRun) {
		return at.Err
	}
	return then.Err
}

// isResult tells a server's own refusal.
func isResult(err error) bool {
	var refused *kmip.ResultError
	return errors.As(err, &refused)
}
