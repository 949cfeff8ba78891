"""Networks of a user's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Wavy(nn.Module):
    """A layer that the project has never seen, made of ordinary operations."""

    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(x.reshape(x.shape[0], -1))
        frequency = self.param("frequency", nn.initializers.ones, (x.shape[1],))
        x = jnp.concatenate([jnp.sin(frequency * x), nn.gelu(nn.Dense(8)(x))], -1)
        return nn.softmax(nn.Dense(6)(x))


class Sorting(nn.Module):
    """One whose operation NumPy text has no words for."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(8)(x.reshape(x.shape[0], -1)))
        return jnp.sort(x, axis=-1)


def make_images():
    """A function that returns one, with strides, padding and pools."""

    class Inner:
        """No name of the module."""

    return Images() if Inner else None


class Images(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 2), strides=(2, 1))(x))
        x = nn.Conv(5, (2, 2), padding="VALID")(x)
        x = nn.max_pool(x, (2, 2), padding="SAME") + nn.avg_pool(x, (1, 1))[:, :1, :1]
        return jax.nn.silu(x.reshape(x.shape[0], -1))


class Dilated(nn.Module):
    """Sums of every second feature, by windows with gaps."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8)(x.reshape(x.shape[0], -1)).reshape(-1)
        sums = jax.lax.reduce_window(
            x, 0.0, jax.lax.add, (2,), (1,), ((0, 2),), window_dilation=(2,)
        )
        return sums.reshape(-1, 8)


class NotFeatures(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x[:, None]
