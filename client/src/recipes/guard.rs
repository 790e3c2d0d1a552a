//! What all guards have in common.

/// Gives a guard what its contender tells.
macro_rules! guard {
    ($guard:ident, $held:literal) => {
        impl $guard {
            /// Returns its key.
            #[must_use]
            pub const fn key(&self) -> &$crate::Bytes {
                self.contender.key()
            }

            /// Returns the revision that created its key, which is greater with each that was
            /// created later.
            #[must_use]
            pub const fn create_revision(&self) -> i64 {
                self.contender.create_revision()
            }

            #[doc = concat!("Returns the condition that ", $held, ", for the transactions that")]
            /// only its holder may make: its key is there, as it was created.
            // X17, I-S1
            #[must_use]
            pub fn fence(&self) -> $crate::Compare {
                self.contender.fence()
            }

            #[doc = concat!("Returns whether ", $held, ", as far as is known here: see")]
            /// [`fence`](Self::fence) for what is certain.
            #[must_use]
            pub fn is_valid(&self) -> bool {
                self.contender.is_valid()
            }

            #[doc = concat!("Completes once it is not so any more that ", $held, ", with the")]
            /// reason: the session is lost, its key was deleted by somebody, or it was given up. It
            /// keeps neither this nor the session.
            // X45, S-05
            pub fn lost(
                &self,
            ) -> impl ::std::future::Future<Output = super::RecipeError> + Send + 'static {
                self.contender.lost()
            }
        }

        impl ::std::fmt::Debug for $guard {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($guard))
                    .field("key", self.key())
                    .field("create_revision", &self.create_revision())
                    .field("is_valid", &self.is_valid())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(super) use guard;
