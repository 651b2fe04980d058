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
	lost := false
	if force && !m.isolates(who) {
		err := m.climbOnce(ctx, keyID, kmip.CessationOfOperation)
		if lost = isLost(err); err == nil || !lost && !mayHaveOtherID(err) {
			return err
		}
	}
	f, err := m.find(ctx, who, keyID, false)
	if lost && isNotFound(err) { // neither as an identifier nor as a Name, so what was not answered destroyed it
		return nil
	}
	if err != nil {
		return err
	}
	if n := len(f.consumers); n > 0 && !force {
		return invalid("the key has %d consumers; force deletes it all the same", n)
	}
	return m.destroy(ctx, f.id)
}

// destroy climbs the object's life, in one round trip: Destroy, and where the object is Active, Revoke and Destroy. An
// object that some servers want revoked before it was ever Active can be revoked as compromised only.
func (m *Manager) destroy(ctx context.Context, id string) error {
	err := m.climb(ctx, id, kmip.CessationOfOperation)
	if err == nil || isNotFound(err) || !isResult(err) {
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
	err := m.climbOnce(ctx, id, why)
	for i := 0; isLost(err) && i < maxLooks && ctx.Err() == nil; i++ {
		if err = m.climbOnce(ctx, id, why); isNotFound(err) {
			return nil
		}
	}
	return err
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
