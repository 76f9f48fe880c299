"""The shapes of the chibi world's models, each of a class that its library loads itself."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from helpers.world.vocabulary import MAX_LENGTH

TEXT_WIDTH = 128
UNET_CHANNELS = {"unet": (32, 64, 128), "unet_b": (32, 56, 104)}


def make_vae() -> AutoencoderKL:
    """64x64 RGB in [-1, 1] to 16x16x4 latents."""
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def normalise_latents(vae: AutoencoderKL, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Fold per-channel mean and deviation [4] into the quant convolutions: latents become zero-mean, unit-variance
    while pictures stay what they were."""
    channels = len(mean)
    with torch.no_grad():
        quant, back = vae.quant_conv, vae.post_quant_conv
        quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
        quant.weight[:channels] /= deviation[:, None, None, None]
        quant.bias[channels:] -= 2 * deviation.log()  # log-variances
        back.bias += (back.weight[:, :, 0, 0] * mean).sum(1)
        back.weight *= deviation[None, :, None, None]


def make_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The CLIP whose text tower conditions the UNet.

    Its words start far apart, at a deviation of 1 instead of transformers' 0.02, which a short training leaves drowned
    by what the layers add: then "left" and "right" are nearer to each other than to themselves in another sentence,
    and the UNet, which reads every word's state, never learns them. The picture's 64 patches, too, start with
    positions that can be told apart.
    """
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "projection_dim": 128,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
        "projection_dim": 128,
    }
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))
    embeddings = clip.text_model.embeddings
    with torch.no_grad():
        embeddings.token_embedding.weight *= 1 / 0.02
        embeddings.position_embedding.weight *= 0.3 / 0.02
        clip.vision_model.embeddings.position_embedding.weight *= 0.2 / 0.02
    return clip


def make_unet(name: str) -> UNet2DConditionModel:
    """Stable Diffusion's layout at a hundredth of its width; untrained, it returns its input."""
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=UNET_CHANNELS[name],
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 4, 8),  # numbers of heads, in spite of the name
        norm_num_groups=8,
    )
    start_as_identity(unet)
    return unet


def start_as_identity(unet: UNet2DConditionModel) -> None:
    """Let an untrained UNet return its noisy input [n, 4, h, w].

    At the noisiest timesteps the input is the noise but for a few thousandths of its variance, and those few decide
    what is where; a network that has to learn to copy cannot see them. After 300 steps of 48 its error in the clean
    picture at t = 999 was 1.9 (variance 1) and no word for a place mattered; from the identity it was 1.0, and a wrong
    word for the place cost 0.06.

    Each latent channel passes the last block beside its negative, silu(z) - silu(-z) = z, and with two constants, so
    that the group norm's scale hardly depends on the input. All other paths into these channels start at zero.
    """
    block = unet.up_blocks[-1]
    resnet, attention = block.resnets[-1], block.attentions[-1]
    skipped = resnet.in_channels - unet.conv_in.out_channels  # where the skip connection's channels begin
    constant = 2.0
    deviation = ((1 + constant**2) / 2) ** 0.5
    with torch.no_grad():
        unet.conv_out.weight.zero_()
        unet.conv_out.bias.zero_()
        for channel in range(unet.config.in_channels):
            group = [4 * channel + i for i in range(4)]
            for layer in (resnet.conv2, attention.proj_out, resnet.conv_shortcut):
                layer.weight[group] = 0
                layer.bias[group] = 0
            for i, sign in zip(group, (1, -1), strict=False):
                unet.conv_in.weight[i] = 0
                unet.conv_in.bias[i] = 0
                unet.conv_in.weight[i, channel, 1, 1] = sign
                resnet.conv_shortcut.weight[i, skipped + i] = 1
                unet.conv_out.weight[channel, i, 1, 1] = sign * deviation
            resnet.conv_shortcut.bias[group[2]] = constant
            resnet.conv_shortcut.bias[group[3]] = -constant


def make_scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
    )
