// Package tenancy knows who owns what: companies that own billing, their workspaces
// that own configuration, and the workspaces' domains that own data.
//
// # The tenant of a piece of work
//
// A [Tenant] is one place in that hierarchy. It travels in the context, with the
// [Actor] who works in it, and nothing else does:
//
//	tenant, err := resolver.ResolveDomain(ctx, domainID)
//	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), actor)
//
// # Scoped statements
//
// [DB] is the only way to the tables. [DB.InTx] runs a transaction and [DB.Read] a
// single statement in the scope of the context's tenant: as a role that cannot bypass
// row-level security, with the tenant's ids as transaction-local settings that the
// policies of every table compare with. Without a tenant there is [ErrNoTenant], and
// SQL that gets past that sees no rows.
//
// [DB.Check] says whether the database holds tenants apart, a product's own tables
// included; package tenancytest tries it, in a test of the product.
//
// # Suspending and deleting
//
// Each level can be suspended, and with it all that is below: [Tenant].Suspended says
// that one of them is, [Tenant].SuspendedLevel which. What is deleted resolves no more, its
// slug or name is free, and it no longer counts towards the plan; nothing is purged.
//
// # Whose a domain name is
//
// Any company may have a domain of any name. To prove that the name is its own it sets the
// TXT record that [Store.DomainProof] names, and asks for a check:
//
//	proof, err := store.VerifyDomain(ctx, domainID)
//	// proof.Verified, or proof.Problem says what was found instead
//
// In the whole installation one domain of a name is verified. Another one can take the name
// over when it proves it and the first one's record is gone. [Store.RecheckDomains] looks
// for the records again from time to time.
//
// # Finding a tenant
//
// [Resolver] answers from memory, then Redis, then PostgreSQL. A change of a company,
// workspace or domain reaches every process at once.
//
// # A domain can move
//
// Package move takes a domain to another workspace. Meanwhile [DB.InTx] lets no transaction
// into its scope ([ErrMoving]), and afterwards none of a tenant that is older than the move:
// that stands in PostgreSQL, not in a cache. A product's own tables take part when it has
// called [DB.RegisterTable].
package tenancy
