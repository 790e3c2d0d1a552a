//! One list of the options of each operation, for the operation and for requests of a client.

/// Gives an operation its options.
///
/// Also exports a macro by which `etcd3` gives the same ones, with the same documentation, to the
/// request that a client makes of the operation; links in it have to resolve there, too: begin them
/// with `super` or `Self`. The first token is a dollar sign, which a macro cannot write itself.
macro_rules! options {
    ($d:tt $operation:ident as $export:ident {
        $(
            $(#[$meta:meta])*
            pub fn $name:ident($($receiver:ident)+ $(, $arg:ident: $type:ty)*) -> Self $body:block
        )*
    }) => {
        impl $operation {
            $(
                $(#[$meta])*
                #[must_use]
                pub fn $name($($receiver)+ $(, $arg: $type)*) -> Self $body
            )*
        }

        /// Calls a macro with the options of the operation.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $export {
            ($d callback:ident) => {
                $d callback! {
                    $operation { $($(#[$meta])* $name($($arg: $type),*);)* }
                }
            };
        }
    };
}
pub(super) use options;
